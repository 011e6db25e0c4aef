use super::*;

fn wanted(container: Option<&str>, loader: Option<Loader>) -> Wanted {
    Wanted {
        container: container.map(ToOwned::to_owned),
        port: 9465,
        loader,
    }
}

/// A text, what is wanted, and the text that comes of it; done again it stays.
fn check(text: &str, wanted: &Wanted, expect: &str) {
    let once = inject("f.yaml", text, wanted, false).expect(text);
    assert_eq!(once.manifests, expect);
    let twice = inject("f.yaml", &once.manifests, wanted, false).expect(text);
    assert_eq!(twice.manifests, expect, "twice");
    assert!(
        twice
            .said
            .iter()
            .all(|line| line.ends_with("has all that an agent needs")),
        "{:?}",
        twice.said
    );
}

fn refused(text: &str, wanted: &Wanted, patch: bool, expect: &str) {
    let error = inject("f.yaml", text, wanted, patch).expect_err(text).to_string();
    assert_eq!(error, expect);
}

const DEPLOYMENT: &str = "\
# The service.
apiVersion: v1
kind: Service
metadata: {name: web}   # as it is
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: \"example.com/web:1.2\"
        ports:
        - {name: http, containerPort: 8080}
";

#[test]
fn a_deployment_gets_it_and_what_stands_beside_it_stays_as_it_is_written() {
    let expect = "\
# The service.
apiVersion: v1
kind: Service
metadata: {name: web}   # as it is
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 2
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
      - name: web
        image: example.com/web:1.2
        ports:
        - name: http
          containerPort: 8080
        - name: flyball-agent
          containerPort: 9465
        env:
        - name: FLYBALL_STATE_DIR
          value: /var/run/flyball
        - name: FLYBALL_METRICS_ADDRESS
          value: \":9465\"
        volumeMounts:
        - name: flyball-runtime
          mountPath: /etc/flyball
          readOnly: true
        - name: flyball-state
          mountPath: /var/run/flyball
      volumes:
      - name: flyball-runtime
        downwardAPI:
          items:
          - path: runtime
            fieldRef:
              fieldPath: \"metadata.annotations['runtime.flyball.dev/web']\"
      - name: flyball-state
        emptyDir: {}
";
    check(DEPLOYMENT, &wanted(None, None), expect);
}

#[test]
fn a_patch_holds_what_is_added_and_nothing_else() {
    let expect = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      containers:
      - name: web
        env:
        - name: FLYBALL_STATE_DIR
          value: /var/run/flyball
        - name: FLYBALL_METRICS_ADDRESS
          value: \":9465\"
        ports:
        - name: flyball-agent
          containerPort: 9465
        volumeMounts:
        - name: flyball-runtime
          mountPath: /etc/flyball
          readOnly: true
        - name: flyball-state
          mountPath: /var/run/flyball
      volumes:
      - name: flyball-runtime
        downwardAPI:
          items:
          - path: runtime
            fieldRef:
              fieldPath: \"metadata.annotations['runtime.flyball.dev/web']\"
      - name: flyball-state
        emptyDir: {}
";
    let injected = inject("f.yaml", DEPLOYMENT, &wanted(None, None), true).expect("a patch");
    assert_eq!(injected.manifests, expect);
    // A patch is whole, also where the manifest has all of it already.
    let whole = inject("f.yaml", DEPLOYMENT, &wanted(None, None), false).expect("a manifest");
    let again = inject("f.yaml", &whole.manifests, &wanted(None, None), true).expect("a patch");
    assert_eq!(again.manifests, expect);
}

#[test]
fn a_pod_and_a_cron_job_have_their_containers_elsewhere() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: a}]}}";
    let said = inject("f.yaml", pod, &wanted(None, None), false).expect("a pod").said;
    assert_eq!(
        said,
        [
            "Pod one: container a gets env FLYBALL_STATE_DIR=/var/run/flyball, env FLYBALL_METRICS_ADDRESS=:9465, port \
             flyball-agent 9465, mount /etc/flyball of flyball-runtime, mount /var/run/flyball of flyball-state, volume \
             flyball-runtime, volume flyball-state",
            "Pod one: a pod's volumes can't be changed, so it has to be made anew; after that nothing restarts",
        ]
    );
    let cron = "{apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {jobTemplate: {spec: {template: {spec: \
                {containers: [{name: a}]}}}}}}";
    let patch = inject("f.yaml", cron, &wanted(None, None), true)
        .expect("a patch")
        .manifests;
    let begins = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: c\nspec:\n  jobTemplate:\n    spec:\n      \
                  template:\n        spec:\n          containers:\n          - name: a\n";
    assert!(patch.starts_with(begins), "{patch}");
}

/// An environment as it was, the loader, and what is added to it.
fn environment(env: &str, loader: Loader, expect: &[(&str, &str)]) {
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: a, env: {env}}}]}}}}"
    );
    let wanted = wanted(None, Some(loader));
    let once = inject("f.yaml", &pod, &wanted, false).expect(env).manifests;
    let twice = inject("f.yaml", &once, &wanted, false).expect(env).manifests;
    assert_eq!(once, twice);
    let read: serde_json::Value = serde_yaml::from_str(&once).expect(&once);
    let env = read["spec"]["containers"][0]["env"].as_array().expect("a list");
    let pairs = env
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap()));
    let ours = ["FLYBALL_STATE_DIR", "FLYBALL_METRICS_ADDRESS"];
    let others: Vec<_> = pairs.filter(|(name, _)| !ours.contains(name)).collect();
    assert_eq!(others, expect);
    assert_eq!(env.len(), expect.len() + 2);
}

#[test]
fn what_loads_the_agent_is_added_to_what_was_there() {
    let java = || Loader::Java("/opt/f.jar".to_owned());
    environment("[]", java(), &[("JAVA_TOOL_OPTIONS", "-javaagent:/opt/f.jar")]);
    environment(
        "[{name: JAVA_TOOL_OPTIONS}]",
        java(),
        &[("JAVA_TOOL_OPTIONS", "-javaagent:/opt/f.jar")],
    );
    environment(
        "[{name: JAVA_TOOL_OPTIONS, value: -Xmx1g}, {name: A, value: '1'}]",
        java(),
        &[("JAVA_TOOL_OPTIONS", "-Xmx1g -javaagent:/opt/f.jar"), ("A", "1")],
    );
    let has = "-javaagent:/opt/f.jar=x -Xmx1g";
    environment(
        &format!("[{{name: JAVA_TOOL_OPTIONS, value: {has}}}]"),
        java(),
        &[("JAVA_TOOL_OPTIONS", has)],
    );
    // Another agent whose path begins alike.
    environment(
        "[{name: JAVA_TOOL_OPTIONS, value: '-javaagent:/opt/f.jar2'}]",
        java(),
        &[("JAVA_TOOL_OPTIONS", "-javaagent:/opt/f.jar2 -javaagent:/opt/f.jar")],
    );
    let node = || Loader::Node("/opt/a.js".to_owned());
    environment("[]", node(), &[("NODE_OPTIONS", "--require /opt/a.js")]);
    environment(
        "[{name: NODE_OPTIONS, value: --inspect -r /opt/b.js}]",
        node(),
        &[("NODE_OPTIONS", "--inspect -r /opt/b.js --require /opt/a.js")],
    );
    for has in ["-r /opt/a.js", "--require=/opt/a.js --inspect"] {
        environment(
            &format!("[{{name: NODE_OPTIONS, value: {has}}}]"),
            node(),
            &[("NODE_OPTIONS", has)],
        );
    }
    let python = || Loader::Python("/opt/f".to_owned());
    environment("[]", python(), &[("PYTHONPATH", "/opt/f")]);
    environment(
        "[{name: PYTHONPATH, value: '/app:/lib'}]",
        python(),
        &[("PYTHONPATH", "/opt/f:/app:/lib")],
    );
    environment(
        "[{name: PYTHONPATH, value: '/app:/opt/f/'}]",
        python(),
        &[("PYTHONPATH", "/app:/opt/f/")],
    );
}

#[test]
fn a_patch_keeps_what_the_variable_held() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: b}, {name: a, env: [{name: B, value: c}, \
               {name: JAVA_TOOL_OPTIONS, value: -Xmx1g}]}]}}";
    let wanted = wanted(Some("a"), Some(Loader::Java("/opt/f.jar".to_owned())));
    let patch = inject("f.yaml", pod, &wanted, true).expect("a patch").manifests;
    let expect = "\
  containers:
  - name: a
    env:
    - name: JAVA_TOOL_OPTIONS
      value: \"-Xmx1g -javaagent:/opt/f.jar\"
    - name: FLYBALL_STATE_DIR
";
    assert!(patch.contains(expect), "{patch}");
}

#[test]
fn what_an_api_server_adds_is_no_other_volume() {
    let pod = "\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - name: a
    env: [{name: FLYBALL_STATE_DIR, value: /var/run/flyball}, {name: FLYBALL_METRICS_ADDRESS, value: ':9465'}]
    ports: [{containerPort: 9465, name: flyball-agent, protocol: TCP}]
    volumeMounts:
    - {mountPath: /etc/flyball, name: flyball-runtime, readOnly: true}
    - {mountPath: /var/run/flyball, name: flyball-state}
  volumes:
  - name: flyball-runtime
    downwardAPI:
      defaultMode: 0644
      items: [{fieldRef: {apiVersion: v1, fieldPath: \"metadata.annotations['runtime.flyball.dev/a']\"}, path: runtime}]
  - {emptyDir: {medium: Memory}, name: flyball-state}
";
    let injected = inject("f.yaml", pod, &wanted(None, None), false).expect("a pod");
    assert_eq!(injected.said, ["Pod p: container a has all that an agent needs"]);
    assert!(injected.manifests.contains("defaultMode: 0644\n"));
}

/// A pod with one container `a` and one of its fields.
fn with(field: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: a, {field}}}]}}}}")
}

#[test]
fn what_stands_in_the_way_is_named() {
    let plain = wanted(None, None);
    refused(
        &with("ports: [{containerPort: 9465, name: metrics}]"),
        &plain,
        false,
        "Pod p: spec.containers[a].ports is 9465 named \"metrics\"; choose another with --metrics-port, or name it \
         flyball-agent if it is the agent's",
    );
    refused(
        &with("ports: [{containerPort: 9000, name: flyball-agent}]"),
        &plain,
        false,
        "Pod p: spec.containers[a].ports[flyball-agent].containerPort is 9000; keep it with --metrics-port 9000, or remove it",
    );
    refused(
        &with("env: [{name: FLYBALL_METRICS_ADDRESS, value: ':1'}]"),
        &plain,
        false,
        "Pod p: spec.containers[a].env[FLYBALL_METRICS_ADDRESS].value is :1; remove it, or name its port with --metrics-port",
    );
    refused(
        &with("volumeMounts: [{name: conf, mountPath: /etc/flyball/}]"),
        &plain,
        false,
        "Pod p: spec.containers[a].volumeMounts[/etc/flyball] is conf; mount that elsewhere, or remove it if it is an \
         earlier one of Flyball's",
    );
    refused(
        &with("volumeMounts: [{name: flyball-runtime, mountPath: /etc/flyball, readOnly: true, subPath: x}]"),
        &plain,
        false,
        "Pod p: spec.containers[a].volumeMounts[/etc/flyball] is flyball-runtime; mount that elsewhere, or remove it if it \
         is an earlier one of Flyball's",
    );
    refused(
        &with("env: x"),
        &plain,
        false,
        "Pod p: spec.containers[a].env is no list; make it one",
    );
    let java = wanted(None, Some(Loader::Java("/f.jar".to_owned())));
    refused(
        &with("env: [{name: JAVA_TOOL_OPTIONS, valueFrom: {configMapKeyRef: {name: c, key: k}}}]"),
        &java,
        false,
        "Pod p: spec.containers[a].env[JAVA_TOOL_OPTIONS].valueFrom is configMapKeyRef; write its text as value, or add to \
         where it comes from what loads the agent, and leave --java out",
    );
    let said = inject("f.yaml", &with("envFrom: [{configMapRef: {name: c}}]"), &java, false)
        .expect("a pod")
        .said;
    assert_eq!(
        said.get(1).map(String::as_str),
        Some(
            "Pod p: spec.containers[a].envFrom: if it holds JAVA_TOOL_OPTIONS too, that text counts no more; write it as a \
             value of env and inject again"
        )
    );
}

#[test]
fn the_container_is_chosen_or_asked_for() {
    let two = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {template: {spec: {containers: [{name: a}, \
               {name: b}]}}}}";
    refused(
        two,
        &wanted(None, None),
        false,
        "StatefulSet s has the containers a, b; name the one whose process has the agent: --container a",
    );
    refused(
        two,
        &wanted(Some("c"), None),
        false,
        "--container \"c\": StatefulSet s has only a, b; name one of them, or take the workload out of the file",
    );
    let first = inject("f.yaml", two, &wanted(Some("a"), None), false)
        .expect("a")
        .manifests;
    refused(
        &first,
        &wanted(Some("b"), None),
        false,
        "StatefulSet s: spec.template.spec.volumes[flyball-runtime] is another volume than the agent's; a pod has one \
         container with an agent: inject from a manifest in which no other has it, or rename that volume",
    );
}

#[test]
fn what_can_not_be_done_is_said() {
    let plain = wanted(None, None);
    refused(
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {}}",
        &plain,
        false,
        "f.yaml holds nothing with a pod template; name the file of a Deployment, StatefulSet, DaemonSet, Job, CronJob or Pod",
    );
    let rollout = "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r}, spec: {template: {spec: {containers: \
                   [{name: a}]}}}}";
    refused(
        rollout,
        &plain,
        true,
        "Rollout r: a patch of kind Rollout replaces lists instead of merging them; run the command without --patch",
    );
    assert!(inject("f.yaml", rollout, &plain, false).is_ok());
    refused(
        "a: 1\n---\nb: 1\nb: 2\n",
        &plain,
        false,
        "f.yaml:4: the key \"b\" stands twice, first in line 3; remove one",
    );
    let path = |loader: Loader| loader.checked().expect_err("a path").to_string();
    assert_eq!(
        path(Loader::Node("/a b.js".to_owned())),
        "--node \"/a b.js\": NODE_OPTIONS takes a path from / on, without spaces, quotes and separators; put the agent at one"
    );
    for bad in [
        Loader::Java("f.jar".to_owned()),
        Loader::Java(String::new()),
        Loader::Python("/a:/b".to_owned()),
    ] {
        path(bad);
    }
}

#[test]
fn lists_and_several_documents_are_gone_through() {
    let text = "\
kind: List
apiVersion: v1
items:
- {apiVersion: v1, kind: Secret, metadata: {name: s}}
- {apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {template: {spec: {containers: [{name: a}]}}}}
--- # the next
# a comment
{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: a}]}}}}
---
";
    let injected = inject("f.yaml", text, &wanted(None, None), false).expect("three");
    let names: Vec<_> = injected
        .said
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["DaemonSet d", "DaemonSet d", "Job j", "Job j"]);
    let documents: Vec<&str> = injected.manifests.split("---\n").collect();
    assert_eq!(documents.len(), 3);
    assert!(documents[0].starts_with("kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Secret\n"));
    assert!(documents[1].starts_with("apiVersion: batch/v1\nkind: Job\n"));
    assert_eq!(documents[2], "");
    let patches = inject("f.yaml", text, &wanted(None, None), true)
        .expect("two")
        .manifests;
    assert_eq!(patches.matches("kind: ").count(), 2);
}
