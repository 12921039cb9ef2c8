//! The proofs cannot be forged: each file in `tests/ui` skips a check and must not compile, for the reason that the
//! `.stderr` file beside it gives.

#[test]
fn a_check_that_is_skipped_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
