//! What a Change is judged by, frozen and read back.

use super::policy::{policy, with};
use flyball_controller::validate;
use flyball_core::{signal::Finite, time::Span, verify::Baseline};
use rstest::rstest;
use serde_json::json;

#[test]
fn a_frozen_verification_reads_back() {
    let policy = policy();
    let verification = policy.actions[0].verification.as_ref().unwrap();
    let baseline = Baseline {
        value: Some(0.75),
        demand: Finite::new(120.0),
    };
    let frozen = validate::freeze(verification, &policy, "prometheus", &baseline);
    assert_eq!(frozen.demand_tolerance_percent, 20);
    let read = validate::comparison_of_change(&frozen).unwrap();
    assert_eq!((read.source.as_str(), read.baseline), ("prometheus", baseline));
    let demand = read.demand.unwrap();
    assert_eq!(demand.query, policy.signals["requests"].query);
    let mut expect = verification.clone();
    expect.demand.as_mut().unwrap().signal.clone_from(&demand.name);
    assert_eq!(read.verification, expect);
}

/// A slow exporter's demand is as fresh in the verification as in the policy.
#[test]
fn the_demand_keeps_its_own_age() {
    let policy = validate::policy(&with("/signals/0/maxAge", json!("10m"))).unwrap();
    let verification = policy.actions[0].verification.as_ref().unwrap();
    let frozen = validate::freeze(verification, &policy, "prometheus", &Baseline::default());
    let read = validate::comparison_of_change(&frozen).unwrap();
    assert_eq!(read.demand.unwrap().max_age, Span::from_secs(600));
    assert_eq!(read.verification.max_age, verification.max_age);
    // A journal of before knows only the one.
    let older = flyball_crds::ChangeVerification {
        demand_max_age: None,
        ..frozen
    };
    let read = validate::comparison_of_change(&older).unwrap();
    assert_eq!(read.demand.unwrap().max_age, verification.max_age);
}

#[rstest]
#[case("up{a=\"b\"} # of the shop\n > 1e30")]
#[case("1e-9 >= up{a=\"#\"}")]
#[case("(a or b) != -0.5")]
#[case("1 < up < 3")]
fn every_comparison_survives_freezing(#[case] expr: &str) {
    let policy = validate::policy(&with("/actions/1/verify/expr", json!(expr))).unwrap();
    let verification = policy.actions[1].verification.as_ref().unwrap();
    let baseline = Baseline {
        value: Some(f64::NAN),
        demand: None,
    };
    let frozen = validate::freeze(verification, &policy, "prometheus", &baseline);
    assert_eq!((frozen.baseline_value, frozen.demand_expr.as_ref()), (None, None));
    assert_eq!(
        validate::comparison_of_change(&frozen).unwrap().verification,
        *verification
    );
}

#[test]
fn a_frozen_verification_that_was_forged_is_refused() {
    let policy = policy();
    let verification = policy.actions[0].verification.as_ref().unwrap();
    let mut frozen = validate::freeze(verification, &policy, "prometheus", &Baseline::default());
    frozen.expr = "-".repeat(3_900);
    frozen.settle = flyball_crds::Duration::new("never");
    let errors = validate::comparison_of_change(&frozen).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["spec.verification.settle", "spec.verification.expr"]);
}
