//! The inputs that the fuzzer of frames begins with, and those that it found: none may do harm.

#[path = "../../../../fuzz/checks/frames.rs"]
mod check;

#[test]
fn what_holds_of_every_input_holds_of_the_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/frames");
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is in the tree") {
        let input = std::fs::read(entry.expect("it can be listed").path()).expect("it can be read");
        check::holds(&input);
        // Cut off anywhere, and with any byte another one.
        for place in 0..input.len().min(600) {
            check::holds(&input[..place]);
            let mut changed = input.clone();
            changed[place] ^= 0x11;
            check::holds(&changed);
        }
        inputs += 1;
    }
    assert!(inputs >= 5);
}
