//! `flyball get --watch`: what the watch streams tell, as it happens.

use super::{lines, tree};
use crate::{
    cli::{
        fetch::{self, Connection, ReadError, Scope},
        freeze::banner,
        output::Output,
        screen::{Style, cut, plain, redraws, show, size},
    },
    observe::freeze::{Freeze, Frozen, State},
    signals::Resized,
};
use flyball_core::time::Timestamp;
use flyball_crds::{Change, FeedbackPolicy};
use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Resource, ResourceExt,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// Events come in bursts; the screen is drawn once behind each.
const BURST: Duration = Duration::from_millis(100);
/// How often the ages on the screen are looked at again.
const AGES: Duration = Duration::from_secs(5);

/// Lines that may go to a file.
const PLAIN: Style = Style {
    colour: false,
    unicode: false,
    width: None,
};

type Key = (String, String);

/// What is known of one kind.
struct Known<K> {
    objects: BTreeMap<Key, K>,
    /// What a new list has brought so far.
    listing: Option<BTreeMap<Key, K>>,
    /// Whether the first list is in.
    ready: bool,
}

/// An object before and after an event.
struct Moved<K> {
    before: Option<K>,
    after: Option<K>,
}

impl<K> Known<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned,
{
    fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            listing: None,
            ready: false,
        }
    }

    /// Takes an event in, and says what it moved.
    fn take(&mut self, event: watcher::Event<DynamicObject>) -> Vec<Moved<K>> {
        match event {
            watcher::Event::Init => {
                self.listing = Some(BTreeMap::new());
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                if let (Some(listing), Some((key, object))) = (&mut self.listing, read(object)) {
                    listing.insert(key, object);
                }
                Vec::new()
            }
            watcher::Event::InitDone => {
                let new = self.listing.take().unwrap_or_default();
                let mut old = std::mem::replace(&mut self.objects, new);
                self.ready = true;
                let mut moved: Vec<_> = self
                    .objects
                    .iter()
                    .map(|(key, after)| Moved {
                        before: old.remove(key),
                        after: Some(after.clone()),
                    })
                    .collect();
                moved.extend(old.into_values().map(|before| Moved {
                    before: Some(before),
                    after: None,
                }));
                moved
            }
            watcher::Event::Apply(object) => read::<K>(object)
                .map(|(key, after)| Moved {
                    before: self.objects.insert(key, after.clone()),
                    after: Some(after),
                })
                .into_iter()
                .collect(),
            watcher::Event::Delete(object) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                self.objects
                    .remove(&key)
                    .map(|before| Moved {
                        before: Some(before),
                        after: None,
                    })
                    .into_iter()
                    .collect()
            }
        }
    }

    fn all(&self) -> Vec<K> {
        self.objects.values().cloned().collect()
    }
}

fn read<K: Resource + DeserializeOwned>(object: DynamicObject) -> Option<(Key, K)> {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    object.try_parse().ok().map(|object| (key, object))
}

enum Told {
    Policy(Box<watcher::Event<DynamicObject>>),
    Change(Box<watcher::Event<DynamicObject>>),
    Broken(watcher::Error),
}

fn events(connection: &Connection, asked: &super::Asked<'_>) -> impl Stream<Item = Told> + use<> {
    let watched = |resource: &kube::api::ApiResource, config: watcher::Config| {
        let client = connection.clients.read.clone();
        let api: Api<DynamicObject> = match asked.scope {
            Scope::All | Scope::Cluster => Api::all_with(client, resource),
            Scope::Namespace(namespace) => Api::namespaced_with(client, namespace, resource),
        };
        watcher(api, config).default_backoff().boxed()
    };
    let (mut policies, mut changes) = (watcher::Config::default(), watcher::Config::default());
    if let Some(name) = asked.name {
        policies = policies.fields(&format!("metadata.name={name}"));
        changes = changes.labels(&format!("{}={}", flyball_crds::POLICY_LABEL, fetch::label(name)));
    }
    let tell = |wrap: fn(Box<watcher::Event<DynamicObject>>) -> Told| {
        move |event: Result<_, _>| event.map_or_else(Told::Broken, |event| wrap(Box::new(event)))
    };
    stream::select(
        watched(&fetch::resource::<FeedbackPolicy>(), policies).map(tell(Told::Policy)),
        watched(&fetch::resource::<Change>(), changes).map(tell(Told::Change)),
    )
}

/// Follows what was asked for, until the reader goes away.
pub(super) async fn follow(connection: &Connection, asked: &super::Asked<'_>, style: Style) -> Result<(), ReadError> {
    let screen = redraws() && asked.output == Output::Table;
    let mut view = View {
        policies: Known::new(),
        changes: Known::new(),
        trouble: None,
        drawn: String::new(),
        frozen: None,
    };
    let mut freeze = Freeze::watch(&connection.clients.read, asked.controllers);
    let mut events = std::pin::pin!(events(connection, asked));
    let mut resized = Resized::listen()?;
    let mut ages = interval(AGES);
    ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due: Option<Instant> = None;
    loop {
        let burst = due.unwrap_or_else(Instant::now);
        tokio::select! {
            told = events.next() => {
                let Some(told) = told else { return Ok(()) };
                let lines = view.take(told, asked, connection.now());
                if screen {
                    due = due.or_else(|| Some(Instant::now() + BURST));
                } else if !lines.is_empty() {
                    emit(&lines)?;
                }
            }
            () = freeze.changed() => {
                let line = view.freeze(freeze.state(), asked);
                if screen {
                    due = due.or_else(|| Some(Instant::now() + BURST));
                } else if asked.output == Output::Table && !line.is_empty() {
                    emit(&line)?;
                }
            }
            () = sleep_until(burst), if due.is_some() => {
                due = None;
                view.draw(asked, style, connection.now())?;
            }
            _ = ages.tick(), if screen => view.draw(asked, style, connection.now())?,
            () = resized.told(), if screen => {
                view.drawn.clear();
                view.draw(asked, Style { width: Style::of_stdout(false).width, ..style }, connection.now())?;
            }
        }
    }
}

/// Unlike a screen that is drawn once, a pipe that was closed ends the watch.
fn emit(lines: &str) -> Result<(), ReadError> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(lines.as_bytes()).and_then(|()| out.flush())?)
}

struct View {
    policies: Known<FeedbackPolicy>,
    changes: Known<Change>,
    trouble: Option<String>,
    drawn: String,
    /// Who froze the installation, if that may be read.
    frozen: Option<Frozen>,
}

impl View {
    /// Takes in whether the installation is frozen; returns a line if that is news.
    fn freeze(&mut self, state: State, asked: &super::Asked<'_>) -> String {
        let before = self.frozen.take();
        self.frozen = match state {
            State::Frozen(frozen) => Some(frozen),
            State::Free | State::Unknown => None,
        };
        match (&before, &self.frozen) {
            (_, Some(frozen)) if before.as_ref() != Some(frozen) => {
                banner(frozen, asked.controllers, PLAIN).trim_end().to_owned() + "\n"
            }
            (Some(_), None) => "not frozen any more\n".to_owned(),
            _ => String::new(),
        }
    }

    /// Takes an event in; returns what it has to say in lines.
    fn take(&mut self, told: Told, asked: &super::Asked<'_>, now: Timestamp) -> String {
        match told {
            Told::Policy(event) => {
                self.trouble = None;
                let object = shown(&event);
                let moved = self.policies.take(*event);
                if asked.output != Output::Table {
                    return object
                        .map(|object| super::document(&object, asked.output))
                        .unwrap_or_default();
                }
                lined(
                    moved
                        .iter()
                        .flat_map(|moved| lines::of_policy(moved.before.as_ref(), moved.after.as_ref(), now)),
                )
            }
            Told::Change(event) => {
                self.trouble = None;
                let object = shown(&event);
                let first = !self.changes.ready;
                let moved = self.changes.take(*event);
                if asked.output != Output::Table {
                    return object
                        .map(|object| super::document(&object, asked.output))
                        .unwrap_or_default();
                }
                let new = moved.iter().filter(|moved| {
                    // What ended long ago is history, not a transition.
                    !first || moved.after.as_ref().is_some_and(|change| lines::is_recent(change, now))
                });
                lined(new.flat_map(|moved| lines::of_change(moved.before.as_ref(), moved.after.as_ref(), now)))
            }
            Told::Broken(error) => {
                let trouble = format!(
                    "the watch broke off, trying again: {}",
                    plain(&crate::client::chain(&error))
                );
                if self.trouble.as_ref() != Some(&trouble) {
                    eprintln!("flyball: {trouble}");
                }
                self.trouble = Some(trouble);
                String::new()
            }
        }
    }

    fn draw(&mut self, asked: &super::Asked<'_>, style: Style, now: Timestamp) -> Result<(), ReadError> {
        if !self.policies.ready || !self.changes.ready {
            return Ok(());
        }
        let (policies, changes) = (self.policies.all(), self.changes.all());
        let mut text = if policies.is_empty() && changes.is_empty() {
            tree::nothing(asked.namespace())
        } else {
            tree::tree(&policies, &changes, &[], asked.shown, style, now)
        };
        if let Some(frozen) = &self.frozen {
            text.insert_str(0, &banner(frozen, asked.controllers, style));
        }
        if let Some(trouble) = &self.trouble {
            text.push_str(trouble);
            text.push('\n');
        }
        if let Some((_, rows)) = size() {
            // The cursor stands below the last line.
            text = cut(&text, rows.saturating_sub(1));
        }
        if text != self.drawn {
            // Home, then each line with its end cleared, then all below: nothing flickers.
            let lines = text.replace('\n', "\u{1b}[K\n");
            show(&format!(
                "{}\u{1b}[H{lines}\u{1b}[J",
                if self.drawn.is_empty() { "\u{1b}[2J" } else { "" }
            ))?;
            self.drawn = text;
        }
        Ok(())
    }
}

fn shown(event: &watcher::Event<DynamicObject>) -> Option<DynamicObject> {
    match event {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => Some(object.clone()),
        _ => None,
    }
}

fn lined(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + &line + "\n")
}
