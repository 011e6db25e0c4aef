//! A page as the script that its readers follow: files to save, and commands to type.

use super::{Page, page::is_a, shell};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A block of YAML that begins with a comment naming the file to save it as.
    Save {
        /// The file.
        name: String,
        /// What is in it.
        text: String,
    },
    /// A line for a shell.
    Run(String),
}

/// The steps of a page in their order. Every block is one or the other.
pub fn script(page: &Page) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in &page.blocks {
        let place = format!("{}:{}", page.path, block.line);
        match block.language.as_str() {
            "sh" => steps.extend(shell::lines(&block.text).into_iter().map(Step::Run)),
            "yaml" => {
                let first = block.text.lines().next().and_then(|line| line.strip_prefix("# "));
                let name = first.filter(|name| is_a(name, "yaml") && !name.contains(['/', ' ']));
                steps.push(Step::Save {
                    name: name
                        .unwrap_or_else(|| panic!("{place}: its first line names no file"))
                        .to_owned(),
                    text: block.text.clone(),
                });
            }
            other => panic!("{place}: {other:?} is neither sh nor yaml"),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_script() {
        let page = Page::parse("p.md", "```yaml\n# a.yaml\nx: 1\n```\n\n```sh\nb c\n# d\ne\n```\n");
        let save = Step::Save {
            name: "a.yaml".to_owned(),
            text: "# a.yaml\nx: 1\n".to_owned(),
        };
        assert_eq!(
            script(&page),
            [save, Step::Run("b c".to_owned()), Step::Run("e".to_owned())]
        );
    }
}
