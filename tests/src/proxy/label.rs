use axum::{extract::Request, http::Method};

/// The verb and the resource of a request.
pub(super) fn label(request: &Request) -> String {
    let query = request.uri().query().unwrap_or_default();
    let has = |pair: &str| query.split('&').any(|it| it.starts_with(pair));
    let (resource, named) = resource(request.uri().path());
    let verb = match request.method() {
        &Method::GET if has("watch=1") || has("watch=true") => "WATCH",
        &Method::GET if named => "GET",
        &Method::GET => "LIST",
        _ if has("dryRun=") => "TRY",
        method => method.as_str(),
    };
    format!("{verb} {resource}")
}

/// `/apis/apps/v1/namespaces/a/deployments/web/scale` is `deployments/scale`, and named. What is no
/// resource is its path.
fn resource(path: &str) -> (String, bool) {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = parts.as_slice() else {
        return (path.to_owned(), true);
    };
    match rest {
        ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => match rest {
            [] => ((*resource).to_owned(), false),
            [_] => ((*resource).to_owned(), true),
            [_, subresource, ..] => (format!("{resource}/{subresource}"), true),
        },
        [] => (path.to_owned(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn a_request_has_a_label() {
        let of =
            |method: &str, uri: &str| label(&Request::builder().method(method).uri(uri).body(Body::empty()).unwrap());
        let scale = "/apis/apps/v1/namespaces/a/deployments/web/scale";
        assert_eq!(
            of("PUT", &format!("{scale}?fieldManager=flyball")),
            "PUT deployments/scale"
        );
        assert_eq!(of("PUT", &format!("{scale}?dryRun=All")), "TRY deployments/scale");
        assert_eq!(
            of("GET", "/apis/flyball.dev/v1alpha1/changes?watch=true"),
            "WATCH changes"
        );
        assert_eq!(
            of("GET", "/apis/flyball.dev/v1alpha1/namespaces/a/changes?limit=1"),
            "LIST changes"
        );
        assert_eq!(of("GET", "/api/v1/namespaces/a"), "GET namespaces");
        assert_eq!(
            of(
                "PATCH",
                "/apis/flyball.dev/v1alpha1/namespaces/a/feedbackpolicies/x/status"
            ),
            "PATCH feedbackpolicies/status"
        );
        assert_eq!(of("GET", "/version"), "GET /version");
    }
}
