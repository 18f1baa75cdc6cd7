//! What keys do, and what is said where little is known.

use super::made::{self, FULL, Member, incident, interval, member, pool, screen, text};
use crate::detect::{Finding, Signal, Verdict};
use crate::outputs::top::members::MADE;
use crate::outputs::top::{Effect, Key, Look, View, World, draw, key};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

const SIZE: [u16; 2] = [120, 40];

fn shown(world: &World, view: &View) -> String {
    text(&screen(world, view, FULL, SIZE))
}

fn press(view: &mut View, world: &World, keys: impl IntoIterator<Item = Key>) {
    for key in keys {
        assert_eq!(view.press(key, world, SIZE), Effect::Draw, "{key:?}");
    }
}

fn letters(text: &str) -> impl Iterator<Item = Key> {
    text.chars().map(Key::Character)
}

/// Where a text stands, by line.
#[track_caller]
fn line(screen: &str, text: &str) -> usize {
    screen.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text:?}:\n{screen}"))
}

#[test]
fn the_most_severe_pool_comes_first_with_verdict_sentence_fault_and_culprit() {
    let screen = shown(&made::world(&incident(), 40), &View::default());
    let failing = line(&screen, "BACKEND FAILING");
    let skewed = line(&screen, "SKEWED");
    assert!(failing < skewed && skewed < line(&screen, " balanced "), "{screen}");
    assert!(line(&screen, "10.0.0.12:8080 gets 76.9 %") == skewed + 1, "{screen}");
    assert!(line(&screen, "the balancer: look at weights") == skewed + 2, "{screen}");
    assert!(line(&screen, "OVER") == skewed + 3, "the culprit is the first member: {screen}");
    assert!(line(&screen, "curl:8000") > line(&screen, " balanced "), "{screen}");
    assert!(screen.contains("2 of 3 pools with a finding"), "{screen}");
}

#[test]
fn where_shares_are_of_exchanges_these_are_shown_and_the_advice_is_of_them() {
    let mut world = made::world(&incident(), 40);
    assert!(!shown(&world, &View::default()).contains("exch/s"));
    let mut interval = interval(&incident()[1..2], 41);
    interval.pools[0].assessment.as_mut().unwrap().signal = Signal::Exchanges;
    world.take(interval, Vec::new());
    let screen = shown(&world, &View::default());
    assert!(screen.contains("exch/s") && screen.contains("how it picks a kept connection"), "{screen}");
    let row = screen.lines().nth(line(&screen, "OVER")).unwrap();
    assert!(row.matches("/s").count() >= 2, "exchanges and new connections: {row}");
    let rate = |screen: &str| -> f64 {
        let head = screen.lines().nth(line(screen, "SKEWED")).unwrap();
        let figure = head.split_whitespace().find_map(|word| word.strip_suffix("/s"));
        figure.unwrap_or_else(|| panic!("no rate: {head}")).parse().unwrap()
    };
    let before = rate(&screen);
    // Kept connections carry ten times as much.
    for second in 42..60 {
        let mut interval = made::interval(&incident()[1..2], second);
        let pool = &mut interval.pools[0];
        pool.assessment.as_mut().unwrap().signal = Signal::Exchanges;
        pool.sample.members.iter_mut().for_each(|member| member.requests = member.requests.map(|n| n * 10));
        world.take(interval, Vec::new());
    }
    let screen = shown(&world, &View::default());
    assert!(rate(&screen) > 5.0 * before, "of exchanges: {screen}");
}

/// What stands on a line in the colour of what is bad.
fn bad(world: &World, of: &str) -> String {
    let buffer = screen(world, &View::default(), FULL, SIZE);
    let place = line(&text(&buffer), of);
    let cells = buffer.content.chunks(usize::from(SIZE[0])).nth(place).unwrap();
    let bad = cells.iter().filter(|cell| [Color::LightRed, Color::Red].contains(&cell.fg));
    bad.map(|cell| cell.symbol()).collect()
}

#[test]
fn red_is_the_figure_that_proves_the_finding() {
    let mut pools = incident();
    let slow = &mut pools[1].members[1];
    (slow.finding, slow.response_ms) = (Some(Finding::Slow), Some(77));
    let (skewed, other) = (made::world(&incident(), 40), made::world(&pools, 40));
    let over = bad(&skewed, "OVER");
    assert!(over.contains("76.9 %") && over.contains('█') && !over.contains("ms"), "{over}");
    let failing = bad(&skewed, "[2001:db8::21]:5432 FAILING");
    assert!(failing.contains("800") && !failing.contains('%') && !failing.contains('█'), "{failing}");
    let slow = bad(&other, "SLOW ");
    assert!(slow.contains(" ms") && !slow.contains('%') && !slow.contains('█'), "{slow}");
}

#[test]
fn what_was_not_measured_is_a_dash_and_has_no_bar() {
    let mut pools = incident();
    pools.truncate(1);
    let mut interval = interval(&pools, 1);
    let sample = &mut interval.pools[0].sample.members[0];
    sample.recorded.unmeasured =
        ["attempts", "refused", "timed_out", "unreachable", "cancelled", "local", "other"].into();
    sample.stock = None;
    (sample.exchanges, sample.total_exchanges) = Default::default();
    let assessed = &mut interval.pools[0].assessment.as_mut().unwrap().members[0];
    (assessed.observed_share, assessed.share_interval) = (None, None);
    let mut world = World::of_host("lb1".into());
    world.take(interval, Vec::new());
    let screen = shown(&world, &View::default());
    let row = screen.lines().nth(line(&screen, "10.0.2.1:9000")).unwrap();
    assert_eq!(row.matches('—').count(), 6, "share, interval, rate, live, failed, response: {row}");
    assert!(!row.contains('█') && !row.contains('0'.to_string().repeat(4).as_str()), "{row}");
}

#[test]
fn enter_goes_to_the_pool_and_to_the_member_and_back() {
    let world = made::world(&incident(), 40);
    let mut view = View::default();
    press(&mut view, &world, [Key::Down, Key::Open]);
    let screen = shown(&world, &view);
    assert!(
        screen.contains("shares declared in nginx.conf:12") && screen.contains("10.0.0.14:8080"),
        "{screen}"
    );
    assert!(!screen.contains("database"), "{screen}");
    press(&mut view, &world, [Key::Open]);
    let screen = shown(&world, &view);
    assert!(screen.contains("10.0.0.12:8080 in app OVER"), "{screen}");
    assert!(screen.contains("its weight is written in nginx.conf:14"), "{screen}");
    press(&mut view, &world, [Key::Back, Key::Back]);
    assert!(shown(&world, &view).contains("database"));
}

#[test]
fn what_is_selected_stays_selected_when_the_order_changes() {
    let world = made::world(&incident(), 40);
    let mut view = View::default();
    press(&mut view, &world, [Key::Down]);
    for _ in 0..4 {
        let screen = shown(&world, &view);
        assert!(
            screen.lines().any(|line| line.starts_with('▶') && line.contains("app by nginx")),
            "{screen}"
        );
        press(&mut view, &world, [Key::Character('s')]);
    }
    press(&mut view, &world, letters("s"));
    let screen = shown(&world, &view);
    assert!(line(&screen, "balanced") < line(&screen, "SKEWED"), "api before app: {screen}");
}

#[test]
fn a_filter_shows_what_it_names_until_it_is_dropped() {
    let world = made::world(&incident(), 40);
    let mut view = View::default();
    press(&mut view, &world, letters("/q9000").chain([Key::Erase; 5]).chain(letters("9000")));
    let screen = shown(&world, &view);
    assert!(screen.contains("api") && !screen.contains("app"), "by the port of its members: {screen}");
    press(&mut view, &world, [Key::Open]);
    press(&mut view, &world, [Key::Back]);
    assert!(shown(&world, &view).contains("app"));
    press(&mut view, &world, letters("/nobody"));
    assert!(shown(&world, &view).contains("no pool or member is called \"nobody\""));
}

#[test]
fn what_stands_still_stays_while_the_world_goes_on() {
    let mut world = made::world(&incident(), 40);
    let mut view = View::default();
    press(&mut view, &world, [Key::Character(' ')]);
    let before = shown(&world, &view);
    assert!(before.contains("PAUSED 00:00:40"), "{before}");
    world.take(interval(&incident()[..1], 41), Vec::new());
    assert_eq!(shown(&world, &view), before);
    press(&mut view, &world, [Key::Character(' ')]);
    let after = shown(&world, &view);
    assert!(after.contains("00:00:41") && !after.contains("SKEWED"), "{after}");
}

#[test]
fn shares_are_of_what_was_asked_for() {
    let world = made::world(&incident(), 40);
    let mut view = View::default();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let screen = shown(&world, &view);
        let row = screen.lines().nth(line(&screen, "OVER")).unwrap().to_owned();
        seen.push((screen.lines().last().unwrap().contains("m as judged"), row));
        press(&mut view, &world, letters("m"));
    }
    assert!(seen[0].0 && !seen[1].0);
    assert!(seen[0].1.contains("76.9 %") && seen[1].1.contains("77.9 %"), "{seen:?}");
    assert!(seen[3].1.contains("25.0 %"), "of live connections each has three: {seen:?}");
    assert!(shown(&world, &view).contains("m as judged"), "all round");
}

#[test]
fn the_ways_out_are_q_and_interrupt_and_a_filter_takes_letters_only() {
    let world = made::world(&incident(), 1);
    let mut view = View::default();
    assert_eq!(view.press(Key::Character('q'), &world, SIZE), Effect::Quit);
    press(&mut view, &world, letters("/q"));
    assert_eq!(view.press(Key::Interrupt, &world, SIZE), Effect::Quit);
    assert_eq!(view.press(Key::Repaint, &world, SIZE), Effect::Repaint);
}

#[test]
fn keys_and_the_wheel_mean_what_they_say() {
    let pressed = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
    assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
    assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), Some(Key::Character('c')));
    assert_eq!(pressed(KeyCode::Char('x'), KeyModifiers::CONTROL), None);
    let wheel =
        |kind| key(&Event::Mouse(MouseEvent { kind, column: 0, row: 0, modifiers: KeyModifiers::NONE }));
    assert_eq!(wheel(MouseEventKind::ScrollDown), Some(Key::Down));
    assert_eq!(wheel(MouseEventKind::Moved), None);
    assert_eq!(key(&Event::Resize(1, 1)), None);
}

#[test]
fn a_thousand_members_are_scrolled_through_with_the_selected_one_in_sight() {
    let members = (0..1000)
        .map(|n| Member { expected: Some(0.001), ..member(&format!("10.1.{}.{}:80", n / 250, n % 250), 5) });
    let pools =
        [pool("big", Some(Verdict::Balanced), "1000 members get what they should", members.collect())];
    let world = made::world(&pools, 2);
    let mut view = View::default();
    press(&mut view, &world, [Key::Open]);
    for (key, seen) in
        [(Key::PageDown, "10.1.0.34:80"), (Key::Last, "10.1.3.249:80"), (Key::Up, "10.1.3.248:80")]
    {
        press(&mut view, &world, [key]);
        let screen = shown(&world, &view);
        let selected = screen.lines().find(|line| line.starts_with('▶')).unwrap_or_default();
        assert!(selected.contains(seen), "{seen}: {screen}");
        assert!(screen.contains("of 1000 members"), "{screen}");
    }
}

/// Thousand members in twenty pools.
fn crowd() -> World {
    let members = |pool: usize| {
        (0..50).map(move |n| Member { expected: Some(0.02), ..member(&format!("10.1.{pool}.{n}:80"), 5) })
    };
    let pools = (0..20).map(|at| {
        pool(&format!("pool{at}"), Some(Verdict::Skewed), "somebody gets more", members(at).collect())
    });
    made::world(&pools.collect::<Vec<_>>(), 2)
}

#[test]
fn of_a_thousand_members_only_those_in_sight_are_laid_out() {
    let world = crowd();
    let mut view = View::default();
    for keys in [&[][..], &[Key::Last], &[Key::Open], &[Key::Last]] {
        press(&mut view, &world, keys.iter().copied());
        let before = MADE.get();
        let screen = shown(&world, &view);
        let made = MADE.get() - before;
        assert!(screen.contains("10.1."), "{screen}");
        assert!(
            made > 0 && made <= usize::from(SIZE[1]),
            "{made} lines for {} that there are:\n{screen}",
            SIZE[1]
        );
    }
}

#[test]
fn a_frame_without_news_sends_nothing_of_the_screen_and_one_with_news_only_that() {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let backend = CrosstermBackend::new(Sent(Rc::clone(&sent)));
    let viewport = Viewport::Fixed(Rect::new(0, 0, SIZE[0], SIZE[1]));
    let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
    let mut frame = |world: &World| {
        sent.borrow_mut().clear();
        terminal.draw(|frame| draw(world, &View::default(), FULL, frame.buffer_mut())).unwrap();
        String::from_utf8(sent.borrow().clone()).unwrap()
    };
    let mut world = made::world(&incident(), 40);
    let first = frame(&world);
    assert!(first.contains("SKEWED") && first.len() > 2_000, "{}", first.len());
    let again = frame(&world);
    assert_eq!(printed(&again), "", "{again:?}");
    assert!(again.len() < 64, "colours and cursor as they should be, and nothing else: {again:?}");
    world.take(interval(&incident(), 41), Vec::new());
    let news = frame(&world);
    assert!(!printed(&news).is_empty() && news.len() < first.len() / 3, "{} of {}", news.len(), first.len());
}

/// What was sent without what steers the terminal.
fn printed(sent: &str) -> String {
    let mut parts = sent.split("\u{1b}[");
    let begin = parts.next().unwrap_or_default();
    let ends = |part: &str| part.find(|sign: char| sign.is_ascii_alphabetic()).map_or(0, |at| at + 1);
    std::iter::once(begin).chain(parts.map(|part| &part[ends(part)..])).collect()
}

/// A terminal that keeps what it is sent.
struct Sent(Rc<RefCell<Vec<u8>>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn without_pools_it_says_why_and_what_was_asked_for() {
    let mut world = World::of_host("lb1".into());
    assert!(shown(&world, &View::default()).contains("counting begins"));
    world.take(interval(&[], 1), vec!["--balancer nginy: nothing of that name was seen".into()]);
    let screen = shown(&world, &View::default());
    assert!(screen.contains("no pool seen yet") && screen.contains("--balancer nginy"), "{screen}");
    assert!(screen.contains("! 1 notice: ?"), "{screen}");
}

#[test]
fn a_notice_is_announced_and_read_in_help() {
    let mut world = made::world(&incident(), 1);
    world.notice("exchanges are not measured: no tracepoint");
    let mut view = View::default();
    assert!(shown(&world, &view).contains("! 1 notice: ?"));
    press(&mut view, &world, letters("?"));
    assert!(shown(&world, &view).contains("exchanges are not measured: no tracepoint"));
}

#[test]
fn names_steer_nothing() {
    let mut hostile =
        pool("a\u{1b}[2Jb", Some(Verdict::Skewed), "x\u{9b}31m\u{202e}y\nz", vec![member("10.0.0.1:80", 1)]);
    hostile.balancer = Some("\u{7}ng\u{1b}]0;inx".into());
    let world = made::world(&[hostile], 1);
    let screen = screen(&world, &View::default(), FULL, SIZE);
    assert!(text(&screen).contains("a\\u{1b}[2Jb by \\u{7}ng"), "{}", text(&screen));
    assert!(screen.content.iter().all(|cell| !cell.symbol().chars().any(char::is_control)));
}

#[test]
fn the_environment_says_what_the_terminal_shows() {
    let look = |set: &[(&str, &str)]| {
        Look::of(|name| set.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned()))
    };
    assert_eq!(look(&[("LANG", "de_DE.UTF-8")]), FULL);
    assert_eq!(look(&[]), Look { unicode: false, ..FULL }, "the C locale");
    assert!(!look(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]).unicode, "the first that is set");
    assert!(look(&[("LANG", "C"), ("LC_CTYPE", "C.utf8"), ("LC_ALL", "")]).unicode);
    assert!(!look(&[("NO_COLOR", "1")]).colour && look(&[("NO_COLOR", "")]).colour);
}

#[test]
fn a_member_that_leaves_while_it_is_looked_at_is_said_to_be_gone() {
    let mut world = made::world(&incident(), 3);
    let mut view = View::default();
    press(&mut view, &world, [Key::Down, Key::Open, Key::Open]);
    let mut pools = incident();
    pools[1].members.retain(|member| member.finding != Some(Finding::Over));
    world.take(interval(&pools, 4), Vec::new());
    assert!(shown(&world, &view).contains("10.0.0.12:8080 is no longer a member of app"));
    world.take(interval(&[], 5), Vec::new());
    assert!(shown(&world, &view).contains("app is gone"));
}
