//! How members are told that other pools of the same balancer have too.

use std::net::SocketAddr;

/// More names are nothing that anybody reads, and thousands of pools may share all of their members.
const MOST_NAMED: usize = 3;

/// What is said of them; `pools` are the names of the other pools, untrusted text.
pub(super) fn left_out(members: &[SocketAddr], pools: &[&str]) -> String {
    let (are, them) = if members.len() == 1 { ("is", "it") } else { ("are", "them") };
    let (noun, have) = if pools.len() == 1 { ("pool", "has") } else { ("pools", "have") };
    let members = some(members, ToString::to_string);
    let pools = some(pools, |name| format!("{name:?}"));
    format!("{members} {are} left out: {noun} {pools} of the same balancer {have} {them} too")
}

/// The first few, and how many there are besides.
fn some<T>(items: &[T], name: impl Fn(&T) -> String) -> String {
    let named: Vec<String> = items.iter().take(MOST_NAMED).map(name).collect();
    match (items.len() - named.len(), named.split_last()) {
        (0, Some((last, before))) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        (0, _) => named.concat(),
        (more, _) => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_the_rest_is_counted() {
        let members: Vec<SocketAddr> =
            (1..=10).map(|host| SocketAddr::from(([10, 0, 0, host], 80))).collect();
        let pools: Vec<String> = (0..2_000).map(|index| index.to_string()).collect();
        let pools: Vec<&str> = pools.iter().map(String::as_str).collect();
        for (member_count, pool_count, said) in [
            (1, 1, "10.0.0.1:80 is left out: pool \"0\" of the same balancer has it too"),
            (1, 2, "10.0.0.1:80 is left out: pools \"0\" and \"1\" of the same balancer have it too"),
            (2, 1, "10.0.0.1:80 and 10.0.0.2:80 are left out: pool \"0\" of the same balancer has them too"),
            (
                3,
                3,
                "10.0.0.1:80, 10.0.0.2:80 and 10.0.0.3:80 are left out: pools \"0\", \"1\" and \"2\" of the same \
                 balancer have them too",
            ),
            (
                10,
                2_000,
                "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 and 7 more are left out: pools \"0\", \"1\", \"2\" and 1997 \
                 more of the same balancer have them too",
            ),
        ] {
            assert_eq!(left_out(&members[..member_count], &pools[..pool_count]), said);
        }
    }
}
