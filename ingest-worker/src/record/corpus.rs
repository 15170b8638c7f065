//! Runs the check of the fuzz target over its corpus: the seeds and every input that a fuzzer has found.

#[path = "../../../fuzz/checks/record.rs"]
mod check;

#[test]
fn corpus_inputs_pass_the_fuzz_check() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/record");
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is in the repository") {
        let input =
            std::fs::read(entry.expect("the corpus can be listed").path()).expect("the input can be read");
        check::assert_invariants(&input);
        // Each input is also truncated at each of its first 600 bytes, and has that byte changed.
        for position in 0..input.len().min(600) {
            check::assert_invariants(&input[..position]);
            let mut changed = input.clone();
            changed[position] ^= 0x11;
            check::assert_invariants(&changed);
        }
        inputs += 1;
    }
    assert!(inputs >= 5);
}
