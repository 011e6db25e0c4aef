//! The demo: brings a cluster, the controller, two services and a load together, tells the story of
//! the loop while it happens, judges whether it came as claimed, and leaves a report.

pub mod access;
pub mod children;
pub mod controller;
pub mod error;
pub mod frame;
pub mod loads;
pub mod manifests;
pub mod place;
pub mod prometheus;
pub mod report;
pub mod setting;
pub mod stage;
pub mod story;
pub mod terminal;
pub mod watches;
pub mod weights;
pub mod world;

#[cfg(test)]
mod tests;

use error::DemoError;
use jiff::Timestamp;
use loads::Load;
use prometheus::Prometheus;
use setting::{CHECKOUT_BASE, CHECKOUT_SURGE, ORDERS_LOAD, Part, Setting};
use stage::Stage;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use story::{Act, Story};
use terminal::Screen;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::unbounded_channel,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use world::World;

const BASE: Load = Load {
    part: Part::Checkout,
    name: "load-base",
    rate: CHECKOUT_BASE,
};
const SURGE: Load = Load {
    part: Part::Checkout,
    name: "load-surge",
    rate: CHECKOUT_SURGE,
};
const STEADY: Load = Load {
    part: Part::Orders,
    name: "load-steady",
    rate: ORDERS_LOAD,
};

/// Shows the loop live and ends with a written report.
#[derive(Debug, clap::Parser)]
#[command(name = "demo", version)]
pub struct Args {
    /// Take the rule's own window and `for`, 5m and 2m, instead of 1m and 20s.
    #[arg(long)]
    verbatim: bool,
    /// Where to run: `testbed`, or `current`, the cluster that kubectl points to.
    #[arg(long, default_value = "testbed", value_parser = ["testbed", "current"])]
    cluster: String,
    /// The folder of the test bed; its programs are used in either case.
    #[arg(long, default_value = ".testbed", env = "FLYBALL_TESTBED_DIR")]
    testbed_dir: PathBuf,
    /// The image of service and load, from a registry that the nodes reach. Default: the one that
    /// `make demo-image` builds, loaded into the nodes.
    #[arg(long, env = "FLYBALL_DEMO_IMAGE")]
    image: Option<String>,
    /// The controller. Default: `flyball` beside this program.
    #[arg(long)]
    flyball: Option<PathBuf>,
    /// The controller's manifests.
    #[arg(long, default_value = "deploy/manifests")]
    manifests: PathBuf,
    /// Where the report goes.
    #[arg(long, default_value = "demo-report")]
    report: PathBuf,
    /// Tell the chapter on weights alone, or leave it out.
    #[arg(long, value_parser = ["weights", "replicas"])]
    only: Option<String>,
    /// Leave cluster and services as they are at the end.
    #[arg(long)]
    keep: bool,
}

/// What the loop of the demo has in hand.
struct Demo {
    setting: Setting,
    world: World,
    story: Story,
    screen: Screen,
    loads: Vec<String>,
    folder: PathBuf,
    /// The chapter on weights, once it has begun.
    weights: Option<weights::Chapter>,
    /// Why there is none.
    left_out: Option<String>,
}

/// Runs the demo. 0: the story came as it should; 1: it did not; 77: this machine can't hold a test bed.
pub async fn run(args: Args) -> ExitCode {
    flyball_controller::observe::source::install_crypto_provider();
    let setting = if args.verbatim {
        Setting::VERBATIM
    } else {
        Setting::SHORT
    };
    let mut demo = Demo {
        setting,
        world: World::new(Timestamp::now()),
        story: Story::new(setting),
        screen: Screen::new(),
        loads: Vec::new(),
        folder: args.report.clone(),
        weights: None,
        left_out: None,
    };
    let mut stage = Stage::default();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals = match kinds.into_iter().map(signal).collect::<Result<Vec<Signal>, _>>() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("demo: signals can't be handled: {error}");
            return ExitCode::from(2);
        }
    };
    let told = tokio::select! {
        told = demo.tell(&args, &mut stage) => told,
        () = any(&mut signals) => Err(DemoError::Interrupted),
    };
    let end = Timestamp::now();
    demo.screen.end(&demo.world);
    if let Err(error) = &told {
        eprintln!("demo: {error}");
    }
    println!(
        "{}",
        if args.keep {
            "ending the controller and the load; the rest stays"
        } else {
            "taking everything down again"
        }
    );
    demo.end_load().await;
    for load in stage.loads.clone().into_iter().rev() {
        demo.loads.extend(stage.unload(load.name).await);
    }
    if let Some(controller) = &mut stage.controller {
        // What it holds at the very end; that it may have ended is in the report already.
        let _ = controller.check();
    }
    let written = demo.report(&args, &stage, end, told.as_ref().err());
    for trouble in stage.strike(args.keep).await {
        eprintln!("demo: {trouble}");
    }
    match (told, written) {
        (_, Err(error)) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
        (Err(DemoError::Unfit(_)), _) => ExitCode::from(77),
        (Err(_), Ok(())) => ExitCode::FAILURE,
        (Ok(()), Ok(())) => demo.verdict(&args.report),
    }
}

async fn any(signals: &mut [Signal]) {
    let each = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures::future::select_all(each).await;
}

impl Demo {
    fn note(&mut self, text: impl Into<String>) {
        self.world.say(Timestamp::now(), None, text);
        self.draw();
    }

    /// Shows the chapter that is told.
    fn draw(&mut self) {
        let (world, now) = (&self.world, Timestamp::now());
        self.screen.show(world, || match &self.weights {
            Some(chapter) => weights::picture::frame(world, chapter, now),
            None => frame::frame(world, &self.story, &self.setting, now),
        });
    }

    /// Ends the load through the gateway, and keeps what it saw.
    async fn end_load(&mut self) {
        let Some(load) = self.weights.as_mut().and_then(|chapter| chapter.load.take()) else {
            return;
        };
        let seconds = load.end().await;
        let lost: u64 = seconds.iter().map(crate::traffic::load::Second::lost).sum();
        let offered: u64 = seconds.iter().map(|second| second.offered).sum();
        self.loads.push(format!(
            "through the gateway on weights, {} requests/s: {offered} requests in {} s, {lost} lost",
            weights::OFFERED,
            seconds.len()
        ));
    }

    /// Sets the stage and plays on it.
    async fn tell(&mut self, args: &Args, stage: &mut Stage) -> Result<(), DemoError> {
        std::fs::create_dir_all(&args.report).map_err(DemoError::file(&args.report))?;
        self.screen.begin();
        let current = args.cluster == "current";
        self.note(if current {
            "looking at the cluster that kubectl points to"
        } else {
            "bringing the test bed up"
        });
        stage.find(&args.testbed_dir, current).await?;
        if let Some(place) = &stage.place {
            let (image, hint) = place.image(args.image.clone()).await?;
            stage.image = Some(image);
            if let Some(hint) = hint {
                self.note(hint);
            }
        }
        self.note("installing the definitions and the controller's rights");
        stage.install(&args.manifests).await?;
        let only = args.only.as_deref();
        let mut urls = Vec::new();
        if only != Some("weights") {
            self.note("starting two services, each with a Prometheus");
            urls = stage.services().await?;
        }
        self.note("starting the controller under its own account");
        stage
            .control(&program(args)?, &args.report.join("controller.log"))
            .await?;
        if only == Some("weights") {
            self.story.items.clear();
        } else {
            self.replicas(stage, urls).await?;
        }
        if only != Some("replicas") {
            weights::tell(self, stage).await?;
        }
        Ok(())
    }

    /// Tells the chapters on replicas.
    async fn replicas(&mut self, stage: &mut Stage, urls: Vec<(Part, String)>) -> Result<(), DemoError> {
        stage.load(BASE).await?;
        stage.policy(&manifests::policy(Part::Checkout, &self.setting)).await?;
        self.note(format!(
            "the first policy is applied; {CHECKOUT_BASE} requests/s on checkout"
        ));
        self.play(stage, urls).await
    }

    /// Watches, acts when a step came, and draws, until the story is over.
    async fn play(&mut self, stage: &mut Stage, urls: Vec<(Part, String)>) -> Result<(), DemoError> {
        let client = stage.client()?;
        let (out, mut seen) = unbounded_channel();
        let mut tasks = JoinSet::new();
        for (part, url) in urls {
            let prometheus = Prometheus::new(url, &self.setting)
                .map_err(|error| DemoError::InTheWay(format!("no client for Prometheus: {error}")))?;
            watches::start(&mut tasks, &client, prometheus, part, &out);
        }
        let mut ticks = interval(Duration::from_millis(250));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.story.ended().is_none() {
            tokio::select! {
                Some((part, sighting)) = seen.recv() => self.world.see(part, sighting, Timestamp::now()),
                _ = ticks.tick() => {
                    if let Some(controller) = &mut stage.controller {
                        controller.check()?;
                    }
                }
            }
            let now = Timestamp::now();
            for act in self.story.advance(&self.world, now) {
                self.act(act, stage).await?;
            }
            self.draw();
        }
        Ok(())
    }

    async fn act(&mut self, act: Act, stage: &mut Stage) -> Result<(), DemoError> {
        match act {
            Act::StepUp => {
                stage.load(SURGE).await?;
                stage.load(STEADY).await?;
                self.note(format!(
                    "load steps up to {} requests/s on checkout; {ORDERS_LOAD} on orders",
                    CHECKOUT_BASE + CHECKOUT_SURGE
                ));
            }
            Act::StepDown => {
                self.loads.extend(stage.unload(SURGE.name).await);
                self.note(format!("load falls to {CHECKOUT_BASE} requests/s on checkout"));
            }
            Act::SecondPolicy => {
                stage.policy(&manifests::policy(Part::Orders, &self.setting)).await?;
                self.note("the second policy is applied, on orders");
            }
        }
        Ok(())
    }

    fn report(&self, args: &Args, stage: &Stage, end: Timestamp, error: Option<&DemoError>) -> Result<(), DemoError> {
        let Some(place) = &stage.place else { return Ok(()) };
        let log = place.folder.join("logs/audit.log");
        let requests = place.is_bed.then(|| report::audit::read(&log, controller::USER));
        let program = program(args).unwrap_or_default();
        let release = program.components().any(|component| component.as_os_str() == "release");
        let failure = error.map(ToString::to_string);
        let material = report::markdown::Material {
            world: &self.world,
            story: &self.story,
            setting: &self.setting,
            end,
            requests: requests.as_deref(),
            memory: stage
                .controller
                .as_ref()
                .map(|controller| controller.memory)
                .unwrap_or_default(),
            build: if release { "release" } else { "development" },
            place: if place.is_bed {
                "the test bed"
            } else {
                "the current cluster"
            },
            failure: failure.as_deref(),
            loads: &self.loads,
            weights: self.weights.as_ref(),
            left_out: self.left_out.as_deref(),
        };
        report::write(&args.report, &material)
    }

    fn verdict(&self, folder: &Path) -> ExitCode {
        for item in &self.story.items {
            if let story::Outcome::Missing(instead) = &item.outcome {
                println!("did not come: {} ({}): {instead}", item.step.title(), item.part.name());
            }
        }
        let steps = self.weights.iter().flat_map(|chapter| &chapter.story.items);
        for item in steps {
            if let story::Outcome::Missing(instead) = &item.outcome {
                println!("did not come: {} (weights): {instead}", item.step.title());
            }
        }
        if let Some(why) = &self.left_out {
            println!("the chapter on weights was left out: {why}");
        }
        let weights = self.weights.as_ref().map(|chapter| &chapter.story);
        let told = self.story.ended() == Some(true) && weights.is_none_or(|story| story.ended() == Some(true));
        let verdict = if told {
            "the story came as it should"
        } else {
            "the story did not come as it should"
        };
        println!(
            "{verdict}: {} of {} steps; see {}/report.md",
            self.story.came() + weights.map_or(0, weights::story::Story::came),
            self.story.items.len() + weights.map_or(0, |story| story.items.len()),
            folder.display()
        );
        if told { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The demo's own program, for a load from this machine.
fn program_of(stage: &Stage) -> Result<PathBuf, DemoError> {
    Ok(stage.place()?.folder.join("bin/demo"))
}

/// The controller's program.
fn program(args: &Args) -> Result<PathBuf, DemoError> {
    if let Some(program) = &args.flyball {
        return Ok(program.clone());
    }
    let this = std::env::current_exe().map_err(DemoError::file(Path::new("flyball")))?;
    Ok(this.with_file_name("flyball"))
}
