#![allow(clippy::unwrap_used)]
mod rows;
use std::time::Instant;
#[test]
#[ignore]
fn speed() {
    for entry in windrow_udfs::all().filter(|e| e.spec.kind() == windrow_udfs::Kind::Indicator) {
        let bound = entry.bind(&entry.spec.defaults()).unwrap();
        let n = 1_000_000;
        let columns = rows::arrays(&rows::whole(&rows::walk(entry, n, 1)));
        let mut best = f64::MAX;
        for _ in 0..3 {
            let t = Instant::now();
            let out = bound.kernel().unwrap().update(&columns, n).unwrap();
            best = best.min(t.elapsed().as_secs_f64());
            std::hint::black_box(out);
        }
        println!("{:<16}{:6.1} ns/row", entry.spec.name, best * 1e9 / n as f64);
    }
}
