//! What the log of a running rowhook says of many dead letters at once.

use std::time::Duration;

use crate::letters::{Letter, fill};
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

#[test]
fn the_first_dead_letter_of_a_rule_has_a_line_and_the_others_one_together_at_the_end_too() {
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/orders/3" => Answer::status(410),
        _ => Answer::status(404),
    });
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: order-paid\n    call: {{url: \"{}\"}}\n    in_flight: 1\n",
        receiver.url("/orders/{{ row.id }}")
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rule);
    fill(&home, &(1..=6).map(|id| Letter::of("order-paid", id)).collect::<Vec<_>>());
    let mut daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
    daemon.wait_for_line("starts", DEADLINE);
    assert_eq!(home.run(&["dead-letters", "replay", "--all"]).code, 1);
    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
    let lines = daemon.lines();
    let errors: Vec<&String> =
        lines.iter().filter(|line| line.contains("ERROR") && line.contains("order-paid")).collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].contains("ERROR dead letter rule=\"order-paid\""), "{errors:#?}");
    assert!(errors[0].contains("why=answered 404: not retried"), "{errors:#?}");
    let counted = "ERROR 5 more dead letters of rule order-paid in the last ";
    assert!(errors[1].contains(counted), "{errors:#?}");
    assert!(errors[1].contains(", most: answered 404: not retried (4)"), "{errors:#?}");
}
