use super::{backend, parse};

#[rstest::rstest]
#[case(
    "httproute-shop-web-gw-flyball-gateway-flyball-ep-web-0-d50b2f318196e2c7a699-svc-shop-web-a-0@kubernetesgateway",
    Some("web-a")
)]
#[case(
    "httproute-shop-web-gw-flyball-gateway-flyball-ep-web-12-d50b2f318196e2c7a699-svc-shop-a-svc-shop-b-10@kubernetesgateway",
    Some("a-svc-shop-b")
)]
// The sum of a rule, another route, another namespace's Service, another provider.
#[case(
    "httproute-shop-web-gw-flyball-gateway-flyball-ep-web-0-d50b2f318196e2c7a699-wrr@kubernetesgateway",
    None
)]
#[case(
    "httproute-shop-web2-gw-flyball-gateway-flyball-ep-web-0-d50b2f318196e2c7a699-svc-shop-web-a-0@kubernetesgateway",
    None
)]
#[case(
    "httproute-shop-web-gw-flyball-gateway-flyball-ep-web-0-d50b2f318196e2c7a699-svc-other-web-a-0@kubernetesgateway",
    None
)]
#[case(
    "httproute-shop-web-gw-flyball-gateway-flyball-ep-web-0-d50b2f318196e2c7a699-svc-shop-web-a-0@file",
    None
)]
fn a_label_stands_for_a_service(#[case] label: &str, #[case] expected: Option<&str>) {
    assert_eq!(backend(Some(&label.to_owned()), "shop", "web").as_deref(), expected);
}

#[test]
fn a_route_with_dots_in_its_name_is_found() {
    let label =
        "httproute-shop-web-v1-gw-flyball-gateway-flyball-ep-web-0-d50b2f318196e2c7a699-svc-shop-a-0@kubernetesgateway";
    assert_eq!(backend(Some(&label.to_owned()), "shop", "web.v1").as_deref(), Some("a"));
}

#[test]
fn only_the_counter_that_is_asked_for_is_read() {
    let text = "# HELP hits_total How often.\n# TYPE hits_total counter\n\
                hits_total{code=\"200\",service=\"a\"} 140\nhits_total{code=\"503\",service=\"b\"} 1e+06\n\
                hits_total_bytes{code=\"200\",service=\"a\"} 7\nother_total{code=\"200\"} 3\nreloads_total 12\n";
    let found: Vec<(String, String, u64)> = parse(text, "hits_total")
        .into_iter()
        .map(|(labels, count)| (labels["code"].clone(), labels["service"].clone(), count))
        .collect();
    let expected = [("200", "a", 140), ("503", "b", 1_000_000)];
    assert_eq!(
        found,
        expected.map(|(code, service, count)| (code.to_owned(), service.to_owned(), count))
    );
    let plain = parse(text, "reloads_total");
    assert_eq!(
        plain
            .iter()
            .map(|(labels, count)| (labels.len(), *count))
            .collect::<Vec<_>>(),
        [(0, 12)]
    );
}
