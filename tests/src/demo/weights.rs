//! The chapter on weights: three backends behind a real gateway. One slows down, one dies and comes back, and the
//! weights follow. It takes about two minutes.

pub mod known;
pub mod picture;
pub mod stage;
pub mod story;

#[cfg(test)]
mod tests;

use super::{Demo, error::DemoError, program_of, stage::Stage};
use crate::traffic::load::Load;
use jiff::Timestamp;
use known::Known;
use std::time::Duration;
use story::{Act, Story};
use tokio::time::{MissedTickBehavior, interval};

/// The chapter's name, that of its route and of its policy.
pub const NAME: &str = "weights";
/// Its namespace, and the name of its source.
pub const NAMESPACE: &str = "flyball-demo-weights";
/// The host of its route.
pub const HOST: &str = "weights.flyball-demo.example.com";
/// Its title.
pub const TITLE: &str = "weights: three backends behind one route, shared by capacity";
/// The backends and their workers, of 12.5 requests a second each.
pub const BACKENDS: [(&str, u32); 3] = [("a", 16), ("b", 16), ("c", 8)];
/// Requests a second: 72 % of what all backends can do.
pub const OFFERED: u32 = 360;

/// What is known of the chapter while it is told, and afterwards.
pub struct Chapter {
    /// When it began.
    pub began: Timestamp,
    /// When it ended; `None` while it is told.
    pub ended: Option<Timestamp>,
    /// What was seen.
    pub known: Known,
    /// What came of its story.
    pub story: Story,
    /// The load, until it is ended.
    pub load: Option<Load>,
}

/// Sets the chapter's stage and plays on it. Where there is no gateway it is left out, and one line says why.
pub(super) async fn tell(demo: &mut Demo, stage: &mut Stage) -> Result<(), DemoError> {
    let gateway = match stage.gateway().await? {
        Ok(gateway) => gateway,
        Err(why) => {
            demo.note(format!("the chapter on weights is left out: {why}"));
            demo.left_out = Some(why);
            return Ok(());
        }
    };
    demo.note("starting three backends behind a gateway, and a Prometheus");
    let url = stage.backends(&gateway).await?;
    let eyes = stage::Eyes::new(stage.client()?, url)?;
    let load = Load::start(
        &program_of(stage)?,
        &format!("{}/", gateway.url),
        HOST,
        OFFERED,
        demo.folder.join("weights-load.jsonl"),
    )?;
    demo.weights = Some(Chapter {
        began: Timestamp::now(),
        ended: None,
        known: Known::default(),
        story: Story::new(),
        load: Some(load),
    });
    stage.policy(&stage::policy()).await?;
    demo.note(format!(
        "the policy on weights is applied; {OFFERED} requests/s through the gateway, of 500 that the backends can do"
    ));
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if let Some(controller) = &mut stage.controller {
            controller.check()?;
        }
        let seen = eyes.look().await;
        let now = Timestamp::now();
        let Some(chapter) = &mut demo.weights else {
            return Ok(());
        };
        let told = chapter.known.see(seen, now);
        let acts = chapter.story.advance(&chapter.known, now);
        let ended = chapter.story.ended().is_some();
        for text in told {
            demo.world.say(now, Some(NAME), text);
        }
        for act in acts {
            demo.note(act.words());
            if let Some(chapter) = &mut demo.weights {
                chapter.known.marks.push((Timestamp::now(), act));
            }
            perform(act, &eyes).await?;
        }
        demo.draw();
        if ended {
            break;
        }
    }
    if let Some(chapter) = &mut demo.weights {
        chapter.ended = Some(Timestamp::now());
    }
    Ok(())
}

async fn perform(act: Act, eyes: &stage::Eyes) -> Result<(), DemoError> {
    match act {
        Act::Slow => eyes.speed("a", "0.5").await,
        Act::Fast => eyes.speed("a", "1").await,
        Act::Kill => eyes.scale("c", 0).await,
        Act::Revive => eyes.scale("c", 1).await,
    }
}
