//! The page: one document with its style and its script in it, which are the only ones that a browser may use with it.
#![forbid(unsafe_code)]

use super::fault::whose_fault;
use crate::detect::{Signal, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The script with its parts, and with what this program knows of verdicts.
static WHOLE_SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let verdicts = Verdict::ALL.map(|verdict| serde_json::json!([verdict, faults(verdict)]));
    let script =
        SCRIPT.replace("CHARTS\n", include_str!("charts.js")).replace("MOMENT\n", include_str!("moment.js"));
    script.replace("WHOSE_FAULT", &serde_json::Value::from(verdicts.to_vec()).to_string())
});

/// Whose fault a verdict likely is, by the signal that it was found in.
fn faults(verdict: Verdict) -> serde_json::Map<String, serde_json::Value> {
    let by_signal =
        |signal: Signal| (signal.as_str().to_owned(), serde_json::json!(whose_fault(verdict, signal)));
    [Signal::Connections, Signal::Exchanges, Signal::Live].map(by_signal).into_iter().collect()
}

/// The document and what a browser may do with it.
#[derive(Debug)]
pub struct Page {
    /// HTML.
    pub document: String,
    /// The value of `Content-Security-Policy`: this style, this script, answers of this host, and nothing else.
    pub policy: String,
}

/// The same for everybody.
pub static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(&WHOLE_SCRIPT));
    Page {
        document: FRAME.replace("STYLE", STYLE).replace("SCRIPT", &WHOLE_SCRIPT),
        policy: format!(
            "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_needs_nothing_from_elsewhere() {
        let document = &PAGE.document;
        assert!(
            document.contains(STYLE) && document.contains(&*WHOLE_SCRIPT),
            "both are in it as they are hashed"
        );
        for from_elsewhere in ["src=", "@import", "url(", "https://", "innerHTML", "insertAdjacent", "eval("]
        {
            assert!(!document.contains(from_elsewhere), "{from_elsewhere}");
        }
    }

    #[test]
    fn the_script_knows_every_verdict_and_whose_fault_it_says() {
        for verdict in Verdict::ALL {
            let fault = serde_json::to_string(&faults(verdict)).unwrap();
            assert!(WHOLE_SCRIPT.contains(&format!(r#"["{verdict}",{fault}]"#)), "{verdict}");
        }
        assert!(!PAGE.document.contains("WHOSE_FAULT"));
    }

    #[test]
    fn nothing_inline_but_what_is_hashed_may_run() {
        assert!(PAGE.policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(!PAGE.policy.contains("unsafe"));
        assert!(!FRAME.contains("onclick") && !FRAME.contains("style="), "no inline attributes");
    }

    /// Relative luminance of `#rgb` or `#rrggbb` (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let digits = colour.strip_prefix('#').unwrap();
        let each = digits.len() / 3;
        let part = |place: usize| {
            let part = &digits[place * each..(place + 1) * each];
            let value = f64::from(u8::from_str_radix(&part.repeat(2 / each), 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(1) + 0.0722 * part(2)
    }

    /// How much two colours differ, 1 to 21 (WCAG 2.2).
    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_lines_can_be_told_from_the_ground_in_light_and_in_dark() {
        assert!((contrast("#fff", "#000000") - 21.0).abs() < 1e-9);
        let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
        for theme in [light, dark] {
            let colour = |name: &str| {
                let value = theme.split_once(&format!("--{name}: ")).unwrap().1;
                value.split(';').next().unwrap()
            };
            for text in ["ink", "faint", "bad", "good"] {
                let found = contrast(colour(text), colour("ground"));
                assert!(found >= 4.5, "{text}: {found:.2}");
            }
            for line in ["bar", "mark", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"] {
                let found = contrast(colour(line), colour("ground"));
                assert!(found >= 3.0, "{line}: {found:.2}");
            }
        }
    }
}
