//! Rules and their alerts on the page.

use super::Pen;
use crate::{
    cli::screen::{Tone, plain, relative, span, stored_number, widths},
    clock::from_micro_time,
};
use flyball_crds::{AlertState, AlertStatus, RuleStatus};

/// How many alerts of a rule are shown.
const ALERTS: usize = 10;

pub(super) fn draw(pen: &mut Pen, rules: &[RuleStatus]) {
    if rules.is_empty() {
        return;
    }
    pen.section("Alerts");
    let names: Vec<String> = rules.iter().map(|rule| plain(&rule.alert)).collect();
    let [width]: [usize; 1] = widths(names.iter().map(|name| [name.as_str()]));
    for (rule, name) in rules.iter().zip(&names) {
        let tone = match rule.state {
            AlertState::Firing => Tone::Bad,
            AlertState::Pending => Tone::Busy,
            AlertState::Inactive => Tone::Good,
        };
        let state = match (&rule.quiet_since, rule.state) {
            (Some(since), AlertState::Inactive) => {
                format!("inactive, quiet for {}", span(pen.now.since(from_micro_time(since))))
            }
            (_, AlertState::Inactive) => "inactive".to_owned(),
            (_, AlertState::Pending) => "pending".to_owned(),
            (_, AlertState::Firing) => "firing".to_owned(),
        };
        pen.page
            .row("  ", "  ", &[(Tone::Plain, name), (tone, &state)], &[width, 0], "");
        if let Some(from) = &rule.from {
            pen.page
                .toned("    ", "    ", Tone::Dim, &format!("from {}", plain(from)));
        }
        if let Some(error) = &rule.error {
            pen.page.toned(
                "    ",
                "    ",
                Tone::Bad,
                &format!("could not be evaluated: {}", plain(error)),
            );
        }
        for alert in rule.alerts.iter().take(ALERTS) {
            draw_alert(pen, alert);
        }
        if rule.alerts.len() > ALERTS {
            pen.page.line(&format!("    and {} more", rule.alerts.len() - ALERTS));
        }
    }
}

fn draw_alert(pen: &mut Pen, alert: &AlertStatus) {
    let labels = alert.labels.iter().filter(|(name, _)| *name != "alertname");
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{}={}", plain(name), plain(value)))
        .collect();
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!(" {{{}}}", labels.join(", "))
    };
    let state = match alert.state {
        AlertState::Firing => "firing",
        AlertState::Pending => "pending",
        AlertState::Inactive => "inactive",
    };
    let kept = alert.keep_firing_since.as_ref().map(|since| {
        format!(
            ", kept firing without its element since {}",
            relative(from_micro_time(since), pen.now)
        )
    });
    let text = format!(
        "{state}, active since {}, value {}{labels}{}",
        pen.when(alert.active_at.as_ref()),
        stored_number(&alert.value),
        kept.unwrap_or_default()
    );
    pen.page.sentence("    ", "      ", &text);
    for (name, value) in &alert.annotations {
        pen.page.toned(
            "      ",
            "        ",
            Tone::Dim,
            &format!("{}: {}", plain(name), plain(value)),
        );
    }
}
