//! The man page and the shell completions, made from the definitions of the command line.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::build_info;
use crate::cli::{Cli, EXIT_STATUS, Shell, flags_of};

const NAME: &str = "jdcloud-cdn-exporter";

/// A script that completes the arguments in a shell.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::shown(), NAME, &mut script);
    // For bash, clap_complete writes a hyphen in the program's name in two ways, so that nothing is
    // completed behind a subcommand (clap's issue 6421). Nothing is replaced once that is mended.
    text(&script).replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__"))
}

/// The manual page in roff, `man` section 1.
#[must_use]
pub fn page() -> String {
    let command = Cli::command();
    // The sections are written one by one, so that each command's options stand beside it.
    let man = Man::new(command.clone());
    // No date: the same sources give the same page.
    let mut page = format!(
        ".TH {} 1 \"\" \"{NAME} {}\" \"User Commands\"\n",
        NAME.to_uppercase(),
        build_info::VERSION
    );
    page += &rendered(|out| {
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)
    });
    page.push_str(".SH COMMANDS\n");
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        page.push_str(&section_of(subcommand));
    }
    page.push_str(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in EXIT_STATUS {
        // Writing to a String cannot fail.
        let _ = writeln!(page, ".TP\n{code}\n{meaning}");
    }
    page
}

/// A subcommand as a subsection: what it does, and the options that are its own.
fn section_of(subcommand: &Command) -> String {
    let subcommand = subcommand.clone().disable_help_flag(true);
    let about = subcommand.get_about().map(ToString::to_string);
    let mut section = format!(
        ".SS {}\n{}\n",
        subcommand.get_name(),
        about.unwrap_or_default().replace('-', "\\-")
    );
    if subcommand.get_arguments().next().is_some() {
        let man = Man::new(subcommand.clone());
        let options = rendered(|out| man.render_options_section(out));
        let own = options.lines().filter(|line| !line.starts_with(".SH"));
        for line in own {
            section.push_str(line);
            section.push('\n');
        }
    }
    let flags: Vec<String> = flags_of(subcommand.get_name())
        .iter()
        .map(|flag| format!("\\-\\-{}", flag.replace('-', "\\-")))
        .collect();
    if !flags.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(section, ".PP\nIt takes {} as well.", flags.join(", "));
    }
    section
}

fn rendered(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = render(&mut page);
    text(&page)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_flag_command_and_exit_code() {
        let page = page().replace("\\-", "-");
        let command = Cli::command();
        for argument in command.get_arguments() {
            let long = argument.get_long().unwrap();
            assert!(page.contains(&format!("--{long}")), "{long}");
        }
        for name in ["demo", "check", "completions"] {
            assert!(page.contains(&format!("\n.SS {name}\n")), "{name}\n{page}");
        }
        assert!(page.contains("--live"), "{page}");
        let of_healthcheck = page.split("\n.SS healthcheck\n").nth(1).unwrap();
        let of_healthcheck = of_healthcheck.split("\n.SS ").next().unwrap();
        assert!(
            of_healthcheck.contains("takes --web.listen-address as well")
                && !of_healthcheck.contains("--log"),
            "{page}"
        );
        assert!(!page.contains(".SS man"), "{page}");
        for (code, meaning) in EXIT_STATUS {
            assert!(page.contains(&format!(".TP\n{code}\n{meaning}\n")), "{page}");
        }
    }

    #[test]
    fn bash_completes_behind_a_subcommand() {
        let script = completions(Shell::Bash);
        for (words, completed, offers) in [
            ("ch", "check", true),
            ("check --l", "--live", true),
            ("plan --sha", "--shards", true),
            ("check --config", "--config.file", true),
            ("demo --", "--web.listen-address", true),
            // It has no effect there.
            ("demo --", "--config.file", false),
        ] {
            let last = words.rsplit(' ').next().unwrap();
            let tried = format!(
                "{script}\nCOMP_WORDS=({NAME} {words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
                 $(complete -p {NAME} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {NAME} {last} \
                 \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
            );
            let output = std::process::Command::new("bash")
                .args(["-c", &tried])
                .output()
                .unwrap();
            let offered = text(&output.stdout);
            assert_eq!(
                offered.lines().any(|line| line == completed),
                offers,
                "{words}: {offered}{}",
                text(&output.stderr)
            );
        }
    }

    #[test]
    fn each_shell_completes_flags_and_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell);
            for word in [
                "config.file",
                "web.listen-address",
                "check",
                "live",
                "completions",
            ] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
        }
    }
}
