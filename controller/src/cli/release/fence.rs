//! Closing a transaction where no controller does.
//!
//! As any controller would: lead first, then raise the journal's attempt, stamp the target with it, and
//! only then close the journal. Behind that stamp no write of the dead controller can land any more.

use super::{Patience, standing::Leads, standing::Standing};
use crate::{
    apply::{Authority, Field, Handle, Hands, Journals, RuntimeHands, as_found, drive, journal_of, variables_of},
    cli::{
        doctor::rights::{Place, Right, mine, what},
        fetch::{self, Connection, Scope},
        screen::{plain, quoted},
        takeover::facts::kind_of,
        write::{self, ActError, refuse},
    },
    lease::{ApiStore, Election, Leadership, unique},
    metrics::Metrics,
    observe::{is_open, target::Snapshot},
};
use flyball_core::transaction::{Target, Tx};
use flyball_crds::Change;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How often a Change is taken up, so far apart: the target's own controllers write it all the time.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// The right to write, for as long as this is kept.
pub struct Led {
    authority: Authority,
    election: Option<Election>,
}

impl Led {
    /// Gives the lease back.
    pub async fn end(self) {
        if let Some(election) = self.election {
            election.release().await;
        }
    }
}

/// Leads, as soon as nobody else can. `None`: somebody else does by now.
pub async fn lead(
    connection: &Connection,
    (namespace, name): (&str, &str),
    patience: &Patience,
    until: Instant,
) -> Result<Option<Led>, ActError> {
    let metrics = Arc::new(Metrics::new());
    let scope = Scope::Cluster;
    let kind = fetch::resource::<Namespace>();
    // An installation that was removed has no place for a lease, so nobody can hold it.
    if let Ok(None) = fetch::get(&connection.clients.read, scope, &kind, namespace).await {
        let leader = Leadership::Leader { transitions: 0, until };
        return Ok(Some(Led {
            authority: Authority::new(watch::channel(leader).1, metrics),
            election: None,
        }));
    }
    let store = ApiStore::new(connection.clients.lease.clone(), namespace, name);
    let election = Election::start(store, unique("flyball-release"), patience.timing)
        .map_err(|error| ActError::Refused(error.to_string()))?;
    let leadership = election.leadership();
    let authority = Authority::new(leadership, metrics);
    let mut standing = Standing::new(&patience.timing);
    while !authority.holds() {
        if Instant::now() > until {
            return refuse(format!(
                "the lease {namespace}/{name} could not be taken in time; see who holds it: kubectl get lease {} -n {} -o yaml; \
                 then run the command again with a longer --timeout",
                quoted(name),
                quoted(namespace)
            ));
        }
        sleep(patience.poll).await;
        if standing.look(connection, namespace, name).await? == Leads::Yes && !authority.holds() {
            election.release().await;
            return Ok(None);
        }
    }
    Ok(Some(Led {
        authority,
        election: Some(election),
    }))
}

/// Says which rights are missing before anything is begun.
pub async fn rights(
    connection: &Connection,
    namespace: &str,
    open: &[Change],
    (controllers, lease): (&str, &str),
) -> Result<(), ActError> {
    let right = |verb, group: &str, resource: &str, name: Option<&str>, namespace: &str| Right {
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.map(ToOwned::to_owned),
        place: Place::In(namespace.to_owned()),
        without: "",
    };
    let mut needed = vec![
        right("update", "coordination.k8s.io", "leases", Some(lease), controllers),
        right("update", "flyball.dev", "changes/status", None, namespace),
    ];
    for change in open {
        let target = &change.spec.target.reference;
        let resource = kind_of(connection, target).await?;
        let right = right(
            "patch",
            &resource.group,
            &resource.plural,
            Some(&target.name),
            namespace,
        );
        if !needed.contains(&right) {
            needed.push(right);
        }
    }
    let answers = mine(connection, needed).await;
    let lacking: Vec<String> = answers
        .iter()
        .filter(|(_, given)| *given == Ok(false))
        .map(|(right, _)| format!("{} {}", right.verb, what(right)))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    refuse(format!(
        "no controller leads, so the open Change must be closed from here, and you may not {}; ask for the role \
         flyball-recover, or start the controller: kubectl get pods -n {}",
        lacking.join(", nor "),
        quoted(controllers)
    ))
}

/// Hands a transaction over as far as it goes now: whether it is still open, its journal, and what was refused.
async fn hand_over<V, R>(
    connection: &Connection,
    led: &Led,
    journal: Change,
    seen: Option<Target<V, R>>,
    hands: &impl Handle<V, R>,
) -> Result<(bool, Change, Option<String>), ActError>
where
    V: Field + Debug,
    R: Clone + Debug,
{
    let damaged = |error: crate::apply::JournalError| ActError::Refused(error.to_string());
    let tx = Tx::hand_over(journal_of(&journal).map_err(damaged)?);
    let quiet = |_: &Change| ();
    let mut journals = Journals::open(&connection.clients.write, journal, &led.authority, &quiet);
    let tx = drive(tx, seen, None, hands, &mut journals, || connection.now()).await;
    Ok((tx.journal.is_open(), journals.change, hands.refusal()))
}

/// Fences the target of a Change and closes it. The number of replicas, or the setting of the knobs, stays as it is
/// found.
pub async fn close(connection: &Connection, led: &Led, change: &Change) -> Result<Change, ActError> {
    let (namespace, name) = (change.namespace().unwrap_or_default(), change.name_any());
    let target = &change.spec.target;
    let resource = kind_of(connection, &target.reference).await?;
    let (client, scope) = (&connection.clients.read, Scope::Namespace(&namespace));
    for turn in 0..TRIES {
        if turn > 0 {
            sleep(BETWEEN_TRIES).await;
        }
        // The target before the journal: then a stamp that lands proves that nothing moved in between.
        let object = fetch::get(client, scope, &resource, &target.reference.name).await?;
        let object = object.filter(|object| object.uid().as_deref() == Some(target.uid.as_str()));
        let Some(journal) = write::object::<Change>(connection, &namespace, &name).await? else {
            return refuse(format!("the Change {} is gone; run the command again", plain(&name)));
        };
        let journal: Change = write::parsed(&journal)?;
        if !is_open(&journal) {
            return Ok(journal);
        }
        let write = &connection.clients.write;
        let (open, change, refusal) = if let Some(moved) = &change.spec.runtime {
            let variables = variables_of(moved);
            let read = |object| as_found(object, &moved.container, variables.as_deref());
            let seen = object.as_ref().map(read);
            let seen = seen.transpose().map_err(|error| ActError::Refused(error.to_string()))?;
            let at = (&*target.reference.name, &*target.uid);
            let hands = RuntimeHands::new(write, &resource, &namespace, at, &moved.container, &led.authority);
            let hands = hands.on(variables);
            Box::pin(hand_over(connection, led, journal, seen, &hands)).await?
        } else {
            let seen = object.as_ref().map(Snapshot::of).transpose();
            let seen = seen.map_err(|error| ActError::Refused(error.to_string()))?;
            let (name, uid) = (&target.reference.name, &target.uid);
            let hands = Hands::new(write, &resource, &namespace, name, uid, &led.authority);
            Box::pin(hand_over(
                connection,
                led,
                journal,
                seen.map(|snapshot| snapshot.target),
                &hands,
            ))
            .await?
        };
        if !open {
            return Ok(change);
        }
        if let Some(refusal) = refusal {
            return refuse(format!(
                "the target of Change {} could not be stamped: {}; ask for the role flyball-recover",
                plain(&name),
                plain(&refusal)
            ));
        }
    }
    refuse(format!(
        "the Change {} could not be closed: somebody else writes it or its target all the time; run the command again",
        plain(&name)
    ))
}
