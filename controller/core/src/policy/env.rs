//! Variables of a container that a runtime reads when it starts, and the options of ours in them.
//!
//! | variable | what it is | where that is written |
//! |---|---|---|
//! | `DOTNET_gcServer`, `DOTNET_gcConcurrent` | 0 or 1 | learn.microsoft.com, .NET: Runtime configuration options for garbage collection |
//! | `DOTNET_GCHeapHardLimit`, `DOTNET_GCHeapHardLimitPercent`, `DOTNET_GCConserveMemory` | numbers in hexadecimal | the same |
//! | `GOGC`, `GOMEMLIMIT` | percent; bytes | pkg.go.dev/runtime |
//! | `JAVA_TOOL_OPTIONS`, `JDK_JAVA_OPTIONS` | options beside others: `-Xmx`, `-Xms` | docs.oracle.com: the JVM Tool Interface; the java command |
//! | `NODE_OPTIONS` | options beside others: `--max-old-space-size` in MiB | nodejs.org: Command-line API |

use std::{collections::BTreeMap, fmt, str::FromStr};

/// The variables that may be written. deploy/manifests/admission.yaml holds the controller to the same.
pub const VARIABLES: [&str; 10] = [
    "DOTNET_gcServer",
    "DOTNET_gcConcurrent",
    "DOTNET_GCHeapHardLimit",
    "DOTNET_GCHeapHardLimitPercent",
    "DOTNET_GCConserveMemory",
    "GOGC",
    "GOMEMLIMIT",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
];
/// How long the text of all of them may be: it stands in a Change.
pub const LONGEST: usize = 4096;

const MIB: u64 = 1 << 20;

/// The variable by which a Java virtual machine gets its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JavaVariable {
    /// Read by every virtual machine.
    Tool,
    /// Read by the `java` command only, from JDK 9 on.
    Jdk,
}

/// One start-up option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvOption {
    /// .NET: server collection.
    DotnetServer(bool),
    /// .NET: background collection.
    DotnetConcurrent(bool),
    /// .NET: the heap's hard limit in bytes.
    DotnetHeapLimit(u64),
    /// .NET: the same in percent of the container's memory.
    DotnetHeapPercent(u64),
    /// .NET: how hard it works on a small heap, 0 to 9.
    DotnetConserve(u64),
    /// Go: GOGC in percent.
    Gogc(u64),
    /// Go: the soft limit in bytes.
    GoMemoryLimit(u64),
    /// Java: the largest heap in bytes.
    JavaMaxHeap(JavaVariable, u64),
    /// Java: the heap at the start in bytes.
    JavaInitialHeap(JavaVariable, u64),
    /// Node: V8's old space in bytes; whole MiB count.
    NodeMaxOldSpace(u64),
}

impl EnvOption {
    /// The variable that it stands in.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::DotnetServer(_) => "DOTNET_gcServer",
            Self::DotnetConcurrent(_) => "DOTNET_gcConcurrent",
            Self::DotnetHeapLimit(_) => "DOTNET_GCHeapHardLimit",
            Self::DotnetHeapPercent(_) => "DOTNET_GCHeapHardLimitPercent",
            Self::DotnetConserve(_) => "DOTNET_GCConserveMemory",
            Self::Gogc(_) => "GOGC",
            Self::GoMemoryLimit(_) => "GOMEMLIMIT",
            Self::JavaMaxHeap(JavaVariable::Tool, _) | Self::JavaInitialHeap(JavaVariable::Tool, _) => {
                "JAVA_TOOL_OPTIONS"
            }
            Self::JavaMaxHeap(JavaVariable::Jdk, _) | Self::JavaInitialHeap(JavaVariable::Jdk, _) => "JDK_JAVA_OPTIONS",
            Self::NodeMaxOldSpace(_) => "NODE_OPTIONS",
        }
    }

    /// What is written: the whole variable, or the option within it.
    fn text(self) -> String {
        match self {
            Self::DotnetServer(on) | Self::DotnetConcurrent(on) => u8::from(on).to_string(),
            Self::DotnetHeapLimit(value) | Self::DotnetHeapPercent(value) | Self::DotnetConserve(value) => {
                format!("0x{value:X}")
            }
            Self::Gogc(value) | Self::GoMemoryLimit(value) => value.to_string(),
            Self::JavaMaxHeap(_, bytes) => format!("-Xmx{}", java_size(bytes)),
            Self::JavaInitialHeap(_, bytes) => format!("-Xms{}", java_size(bytes)),
            Self::NodeMaxOldSpace(bytes) => format!("--max-old-space-size={}", bytes / MIB),
        }
    }

    /// How the same option begins in a shared variable, in all its spellings; empty: the variable is all its own.
    const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::JavaMaxHeap(..) => &["-Xmx", "-XX:MaxHeapSize="],
            Self::JavaInitialHeap(..) => &["-Xms", "-XX:InitialHeapSize="],
            Self::NodeMaxOldSpace(_) => &["--max-old-space-size=", "--max_old_space_size="],
            _ => &[],
        }
    }
}

/// A virtual machine takes multiples of 1 KiB, in whole numbers of a unit.
fn java_size(bytes: u64) -> String {
    if bytes.is_multiple_of(MIB) {
        format!("{}m", bytes / MIB)
    } else {
        format!("{}k", bytes.div_ceil(1024))
    }
}

/// What a container's template has of some variables: each with its value, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, Option<String>>);

/// Why variables can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// An option can't be found in it for certain.
    #[error("{0} has quotes in it, so its options can't be told apart; write it without")]
    Quoted(String),
    /// A journal has no room for it.
    #[error("the variables have {0} bytes together, and at most {LONGEST} fit into a Change; shorten them")]
    Long(usize),
    /// A text of ours that is none.
    #[error("{0:?} is not of the form `env GOGC=\"200\" -GOMEMLIMIT`")]
    Form(String),
}

impl Env {
    /// These variables.
    pub fn of(found: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        Self(found.into_iter().collect())
    }

    /// The variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether both are about the same variables.
    pub fn is_like(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }

    /// The same with these options. Of a shared variable only the option itself is replaced; a repeated one is taken
    /// out, because the last would win.
    pub fn with(&self, options: &[EnvOption]) -> Result<Self, EnvError> {
        let mut to = self.clone();
        for option in options {
            let value = to.0.entry(option.variable().to_owned()).or_default();
            let text = option.text();
            *value = Some(match value.as_deref().filter(|_| !option.spellings().is_empty()) {
                None => text,
                Some(before) => replaced(before, *option, &text)?,
            });
        }
        match to.to_string().len() {
            fits if fits <= LONGEST => Ok(to),
            long => Err(EnvError::Long(long)),
        }
    }
}

fn replaced(before: &str, option: EnvOption, text: &str) -> Result<String, EnvError> {
    if before.contains(['"', '\'', '\\']) {
        return Err(EnvError::Quoted(option.variable().to_owned()));
    }
    let is_ours = |word: &str| option.spellings().iter().any(|spelling| word.starts_with(spelling));
    let ours: Vec<&str> = before.split_ascii_whitespace().filter(|word| is_ours(word)).collect();
    // Spaces between the others stay as they are.
    if ours == [text] {
        return Ok(before.to_owned());
    }
    let mut words: Vec<&str> = Vec::new();
    let mut placed = false;
    for word in before.split(' ') {
        if !is_ours(word) {
            words.push(word);
        } else if !placed {
            placed = true;
            words.push(text);
        }
    }
    if !placed {
        if words == [""] {
            words.clear();
        }
        words.push(text);
    }
    Ok(words.join(" "))
}

impl fmt::Display for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("env")?;
        for (name, value) in &self.0 {
            match value {
                Some(value) => write!(f, " {name}={value:?}")?,
                None => write!(f, " -{name}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Env {
    type Err = EnvError;

    fn from_str(text: &str) -> Result<Self, EnvError> {
        let form = || EnvError::Form(text.chars().take(64).collect());
        let mut rest = text.strip_prefix("env").ok_or_else(form)?;
        let mut found = BTreeMap::new();
        while !rest.is_empty() {
            rest = rest.strip_prefix(' ').ok_or_else(form)?;
            let (name, value);
            if let Some(absent) = rest.strip_prefix('-') {
                let end = absent.find(' ').unwrap_or(absent.len());
                (name, rest) = absent.split_at(end);
                value = None;
            } else {
                let (key, quoted) = rest.split_once("=\"").ok_or_else(form)?;
                let (read, after) = unquoted(quoted).ok_or_else(form)?;
                (name, rest) = (key, after);
                value = Some(read);
            }
            if name.is_empty() || name.contains(' ') || found.insert(name.to_owned(), value).is_some() {
                return Err(form());
            }
        }
        Ok(Self(found))
    }
}

/// What stands before the closing quote, and what after. The reverse of how Rust writes a text with quotes.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut read = String::new();
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => return Some((read, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => read.push('\n'),
                't' => read.push('\t'),
                'r' => read.push('\r'),
                '0' => read.push('\0'),
                'u' => {
                    let digits: String = chars
                        .by_ref()
                        .map(|(_, c)| c)
                        .skip(1)
                        .take_while(|c| *c != '}')
                        .collect();
                    read.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => read.push(other),
            },
            other => read.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` before a name: absent.
    fn env(pairs: &[(&str, Option<&str>)]) -> Env {
        Env::of(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(ToOwned::to_owned))),
        )
    }

    #[test]
    fn each_option_has_its_variable() {
        let check = |option: EnvOption, name: &str, value: &str| {
            let to = env(&[]).with(&[option]).expect("options");
            assert_eq!(to, env(&[(name, Some(value))]), "{option:?}");
            assert!(VARIABLES.contains(&name));
        };
        check(EnvOption::DotnetServer(true), "DOTNET_gcServer", "1");
        check(EnvOption::DotnetConcurrent(false), "DOTNET_gcConcurrent", "0");
        // 200 MiB, as the documentation has it.
        check(
            EnvOption::DotnetHeapLimit(209_715_200),
            "DOTNET_GCHeapHardLimit",
            "0xC800000",
        );
        check(
            EnvOption::DotnetHeapPercent(30),
            "DOTNET_GCHeapHardLimitPercent",
            "0x1E",
        );
        check(EnvOption::DotnetConserve(9), "DOTNET_GCConserveMemory", "0x9");
        check(EnvOption::Gogc(200), "GOGC", "200");
        check(EnvOption::GoMemoryLimit(943_718_400), "GOMEMLIMIT", "943718400");
        check(
            EnvOption::JavaMaxHeap(JavaVariable::Tool, 512 * MIB),
            "JAVA_TOOL_OPTIONS",
            "-Xmx512m",
        );
        check(
            EnvOption::JavaInitialHeap(JavaVariable::Jdk, 3 * 1024),
            "JDK_JAVA_OPTIONS",
            "-Xms3k",
        );
        check(
            EnvOption::NodeMaxOldSpace(768 * MIB),
            "NODE_OPTIONS",
            "--max-old-space-size=768",
        );
    }

    #[test]
    fn in_a_shared_variable_only_our_option_moves() {
        let check = |before: &str, expect: Result<&str, EnvError>| {
            let from = env(&[("JAVA_TOOL_OPTIONS", Some(before))]);
            let to = from.with(&[EnvOption::JavaMaxHeap(JavaVariable::Tool, 512 * MIB)]);
            assert_eq!(
                to,
                expect.map(|value| env(&[("JAVA_TOOL_OPTIONS", Some(value))])),
                "{before:?}"
            );
        };
        check("", Ok("-Xmx512m"));
        check("-Dfile=a", Ok("-Dfile=a -Xmx512m"));
        check("-Xmx256m", Ok("-Xmx512m"));
        check(
            "-Da=b  -Xmx256m -javaagent:/a.jar",
            Ok("-Da=b  -Xmx512m -javaagent:/a.jar"),
        );
        check("-XX:MaxHeapSize=1g -Da=b -Xmx2g", Ok("-Xmx512m -Da=b"));
        check("-Da=b -Xmx512m ", Ok("-Da=b -Xmx512m "));
        check("-Da=\"b c\"", Err(EnvError::Quoted("JAVA_TOOL_OPTIONS".to_owned())));
        let from = env(&[("NODE_OPTIONS", Some("--require /a.js --max_old_space_size=64"))]);
        let to = from.with(&[EnvOption::NodeMaxOldSpace(128 * MIB)]).expect("options");
        assert_eq!(
            to,
            env(&[("NODE_OPTIONS", Some("--require /a.js --max-old-space-size=128"))])
        );
    }

    #[test]
    fn what_is_not_named_stays_and_both_options_of_a_variable_stand_in_it() {
        let from = env(&[("GOGC", None), ("GOMEMLIMIT", Some("1GiB"))]);
        let to = from.with(&[EnvOption::Gogc(50)]).expect("options");
        assert_eq!(to, env(&[("GOGC", Some("50")), ("GOMEMLIMIT", Some("1GiB"))]));
        let java = JavaVariable::Tool;
        let both = [
            EnvOption::JavaInitialHeap(java, 64 * MIB),
            EnvOption::JavaMaxHeap(java, 128 * MIB),
        ];
        let to = env(&[("JAVA_TOOL_OPTIONS", None)]).with(&both).expect("options");
        assert_eq!(to, env(&[("JAVA_TOOL_OPTIONS", Some("-Xms64m -Xmx128m"))]));
        let long = "-D".to_owned() + &"a".repeat(LONGEST);
        let error = env(&[("JAVA_TOOL_OPTIONS", Some(&long))])
            .with(&both)
            .expect_err("too long");
        assert!(error.to_string().contains("at most 4096 fit into a Change"), "{error}");
    }

    #[test]
    fn variables_read_back_as_they_were_written() {
        for pairs in [
            &[] as &[(&str, Option<&str>)],
            &[("GOGC", Some("200")), ("GOMEMLIMIT", None)],
            &[("GOGC", Some(""))],
            &[(
                "JAVA_TOOL_OPTIONS",
                Some("-Da=\"b c\" -De='\\' -Xmx1g\n\t\u{7}\u{1F600}\u{301}"),
            )],
        ] {
            let written = env(pairs);
            assert_eq!(written.to_string().parse(), Ok(written.clone()), "{written}");
        }
        assert_eq!(
            env(&[("GOGC", Some("200")), ("GOMEMLIMIT", None)]).to_string(),
            "env GOGC=\"200\" -GOMEMLIMIT"
        );
        for text in [
            "",
            "env ",
            "env GOGC",
            "env GOGC=200",
            "env GOGC=\"200",
            "env -A -A",
            "env  -A",
            "env -",
        ] {
            assert!(text.parse::<Env>().is_err(), "{text:?}");
        }
    }
}
