//! The bodies that the fuzzer of requests begins with, and those that it found: none may do harm.

#[path = "../../fuzz/checks/request.rs"]
mod check;

#[test]
fn what_holds_of_every_body_holds_of_the_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/request");
    let mut bodies = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is in the tree") {
        let body = std::fs::read(entry.expect("it can be listed").path()).expect("it can be read");
        check::holds(&body);
        // Cut off anywhere, and with any byte another one.
        for place in 0..body.len().min(600) {
            check::holds(&body[..place]);
            let mut changed = body.clone();
            changed[place] ^= 0x11;
            check::holds(&changed);
        }
        bodies += 1;
    }
    assert!(bodies >= 10);
}
