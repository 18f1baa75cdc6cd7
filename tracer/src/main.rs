//! tracer
fn main() {
    let start = std::time::Instant::now();
    let mut t = match tracer::kernel::Tracer::start(Default::default()) {
        Ok(t) => t,
        Err(e) => {
            println!("{e}");
            println!("{:#?}", tracer::kernel::survey());
            return;
        }
    };
    println!("{:?} {:#?}", start.elapsed(), t.reports());
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let a = l.local_addr().unwrap();
    let mut keep = vec![];
    for i in 0..100 {
        use std::io::{Read, Write};
        let mut c = std::net::TcpStream::connect(a).unwrap();
        let (mut s, _) = l.accept().unwrap();
        if i % 2 == 0 {
            c.write_all(b"hello").unwrap();
            s.write_all(b"hi").unwrap();
            drop(s);
            let mut b = vec![];
            let _ = c.read_to_end(&mut b);
            drop(c)
        } else {
            keep.push((c, s))
        }
    }
    for _ in 0..7 {
        let _ = std::net::TcpStream::connect("127.0.0.1:1");
    }
    let s = t.read().unwrap();
    println!("{:?} {:?} {:?}", s.uncounted, s.recursion_misses, s.sweep);
    for r in &s.readings {
        let c = &r.cell;
        println!(
            "{:?} {} att {} est {} failed {:?} closed {} resets {} probes {} sent {} recv {} segs {} {} stock {:?} repaired {}",
            r.balancer,
            r.backend,
            c.attempts,
            c.established,
            c.failed,
            c.closed,
            c.resets,
            c.probes,
            c.sent_bytes,
            c.received_bytes,
            c.segments_sent,
            c.segments_received,
            c.stock,
            c.repaired
        );
    }
}
