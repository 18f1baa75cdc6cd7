//! Whatever comes, it is drawn.

use super::made::{Member, Pool, interval};
use crate::detect::{Finding, Verdict};
use crate::outputs::top::{Key, Look, View, World, draw};
use proptest::option;
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

fn member() -> impl Strategy<Value = Member> {
    let finding = prop_oneof![Just(Finding::Over), Just(Finding::Missing), Just(Finding::Unexpected)];
    let backend = prop_oneof![
        (any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(ip, port)| std::net::SocketAddr::from((ip, port)).to_string()),
        (any::<[u16; 8]>(), any::<u16>())
            .prop_map(|(ip, port)| std::net::SocketAddr::from((ip, port)).to_string()),
    ];
    let share = prop_oneof![0.0..=1.0, Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)];
    (
        backend,
        option::of(finding),
        0_u64..1 << 50,
        any::<u64>(),
        option::of(0_u64..1_000_000),
        option::of(share),
    )
        .prop_map(|(backend, finding, connections, refused, response_ms, expected)| Member {
            backend,
            finding,
            connections,
            refused,
            response_ms,
            expected,
        })
}

fn pool() -> impl Strategy<Value = Pool> {
    let verdict = prop_oneof![
        Just(Verdict::Skewed),
        Just(Verdict::PoolFailing),
        Just(Verdict::UnevenWeights),
        Just(Verdict::Balanced),
        Just(Verdict::InsufficientEvidence),
    ];
    let members = proptest::collection::vec(member(), 0..12);
    (
        any::<String>(),
        option::of(any::<String>()),
        option::of(verdict),
        any::<String>(),
        option::of(any::<String>()),
        members,
    )
        .prop_map(|(name, balancer, verdict, summary, note, members)| Pool {
            name,
            balancer,
            verdict,
            summary,
            note,
            members,
        })
}

fn key() -> impl Strategy<Value = Key> {
    use Key::{Back, Down, Erase, First, Last, Open, PageDown, PageUp, Repaint, Up};
    prop_oneof![
        proptest::sample::select(vec![Up, Down, PageUp, PageDown, First, Last, Open, Back, Erase, Repaint]),
        proptest::sample::select("hjklgGsmp /?q".chars().map(Key::Character).collect::<Vec<_>>()),
        any::<char>().prop_map(Key::Character),
    ]
}

/// What happens between two frames.
#[derive(Clone, Debug)]
enum Step {
    Pressed(Key),
    Resized([u16; 2]),
    Took(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => key().prop_map(Step::Pressed),
        1 => [0_u16..260, 0_u16..80].prop_map(Step::Resized),
        2 => (0_usize..4).prop_map(Step::Took),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_world_is_drawn_at_any_size_after_any_keys(
        pools in proptest::collection::vec(pool(), 0..4),
        steps in proptest::collection::vec(step(), 1..30),
        colour in any::<bool>(),
        unicode in any::<bool>(),
        notice in any::<String>(),
    ) {
        let look = Look { colour, unicode };
        let mut world = World::of_host(notice.clone());
        world.notice(&notice);
        let (mut view, mut size) = (View::default(), [80, 24]);
        for (second, step) in (1..).zip(steps) {
            match step {
                Step::Pressed(key) => _ = view.press(key, &world, size),
                Step::Resized(to) => size = to,
                Step::Took(count) => world.take(interval(&pools[..count.min(pools.len())], second), vec![notice.clone()]),
            }
            let mut buffer = Buffer::empty(Rect::new(0, 0, size[0], size[1]));
            draw(&world, &view, look, &mut buffer);
            for cell in &buffer.content {
                prop_assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
                prop_assert!(unicode || cell.symbol().is_ascii());
            }
        }
    }
}
