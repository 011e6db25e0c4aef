//! The demo's numbers: rates, windows and how long each step may take.

use std::time::Duration;

/// The line of the first rule, in seconds.
pub const LINE: f64 = 0.5;
/// The rule that both chapters have.
pub const ALERT: &str = "HighRequestLatency";
/// The rule that lets replicas go again.
pub const LOW: &str = "LowTraffic";

/// One of the two chapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// More replicas help.
    Checkout,
    /// More replicas can't help.
    Orders,
}

impl Part {
    /// Both, in the order in which they are told.
    pub const ALL: [Self; 2] = [Self::Checkout, Self::Orders];

    /// The name of the service, its Deployment and its policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Orders => "orders",
        }
    }

    /// The namespace, and the name of the source.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Checkout => "flyball-demo-checkout",
            Self::Orders => "flyball-demo-orders",
        }
    }

    /// The chapter's title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Checkout => "checkout: the service is saturated, more replicas help",
            Self::Orders => "orders: its database is saturated, more replicas can't help",
        }
    }

    /// The chapter's place in a list of both.
    pub const fn index(self) -> usize {
        match self {
            Self::Checkout => 0,
            Self::Orders => 1,
        }
    }
}

/// How the demo is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whether the rule is taken word for word.
    pub verbatim: bool,
    /// The rule's range.
    pub window: &'static str,
    /// The rule's `for`.
    pub hold: &'static str,
    /// The verification's settle time: the range and the time a pod needs.
    pub settle: &'static str,
    /// The verification's deadline in the first chapter.
    pub within: &'static str,
    /// The verification's deadline in the second chapter.
    pub within_orders: &'static str,
    /// The same as numbers.
    pub times: Times,
}

/// The durations of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The rule's range.
    pub window: Duration,
    /// The rule's `for`.
    pub hold: Duration,
    /// The longer of the deadlines.
    pub within: Duration,
    /// How long the light load lasts before it steps up.
    pub calm: Duration,
    /// How long an ineffective change must stay unrepeated.
    pub watch: Duration,
}

/// The light load of the first chapter, requests a second.
pub const CHECKOUT_BASE: u32 = 40;
/// What is added to it.
pub const CHECKOUT_SURGE: u32 = 55;
/// The load of the second chapter.
pub const ORDERS_LOAD: u32 = 25;

impl Setting {
    /// Short windows, so that the demo ends within eight minutes.
    pub const SHORT: Self = Self {
        verbatim: false,
        window: "1m",
        hold: "20s",
        settle: "70s",
        within: "100s",
        within_orders: "85s",
        times: Times {
            window: Duration::from_secs(60),
            hold: Duration::from_secs(20),
            within: Duration::from_secs(100),
            calm: Duration::from_secs(25),
            watch: Duration::from_secs(60),
        },
    };

    /// The rule's own window and `for`.
    pub const VERBATIM: Self = Self {
        verbatim: true,
        window: "5m",
        hold: "2m",
        settle: "5m20s",
        within: "7m",
        within_orders: "6m",
        times: Times {
            window: Duration::from_secs(300),
            hold: Duration::from_secs(120),
            within: Duration::from_secs(420),
            calm: Duration::from_secs(60),
            watch: Duration::from_secs(90),
        },
    };

    /// The deadline of a chapter's verification, as its policy spells it.
    pub const fn within_of(&self, part: Part) -> &'static str {
        match part {
            Part::Checkout => self.within,
            Part::Orders => self.within_orders,
        }
    }

    /// The left side of the rule: one value for each pod, the worst of which is shown.
    pub fn latency_query(&self) -> String {
        let window = self.window;
        format!("max(rate(http_request_duration_seconds_sum[{window}]) / rate(http_requests_total[{window}]))")
    }
}
