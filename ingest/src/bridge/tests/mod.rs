//! The promises of the bridge: what happens in any order, and single cases worth reading.

mod cases;
mod model;

use proptest::prelude::*;

use model::{Model, Step};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// The model checks after every step that acknowledgements leave in receipt order, only for the living connection,
    /// only when everything of the message is durable, that the ledger adds up, and that the window is bounded.
    #[test]
    fn whatever_happens_nothing_is_acknowledged_early_and_everything_in_the_end(
        steps in proptest::collection::vec(Step::any(), 1..200),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
        }
        model.heal();
        model.check_settled();
    }
}
