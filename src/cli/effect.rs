//! Reads the command line: which flags have an effect on which subcommand, so that the others are neither
//! shown nor taken, and what to write instead of a flag with one hyphen.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;

/// The flags of the exporter that have an effect on a subcommand as well, besides its own.
const EFFECTS: [(&str, &[&str]); 7] = [
    (
        "demo",
        &[
            "shard",
            "web.listen-address",
            "web.systemd-socket",
            "web.telemetry-path",
            "web.config.file",
            "log.level",
            "log.format",
        ],
    ),
    (
        "check",
        &[
            "config.file",
            "shard",
            "web.config.file",
            "log.level",
            "log.format",
        ],
    ),
    ("plan", &["config.file", "shard", "log.level", "log.format"]),
    ("backfill", &["config.file", "shard", "log.level", "log.format"]),
    ("healthcheck", &["web.listen-address"]),
    ("completions", &[]),
    ("man", &[]),
];

/// The flags, without their hyphens, that a subcommand takes besides its own.
#[must_use]
pub fn flags_of(subcommand: &str) -> &'static [&'static str] {
    EFFECTS
        .iter()
        .find(|(name, _)| *name == subcommand)
        .map_or(&[], |(_, flags)| flags)
}

fn has_effect(subcommand: &str, argument: &Arg) -> bool {
    argument
        .get_long()
        .is_some_and(|long| flags_of(subcommand).contains(&long))
}

impl Cli {
    /// Reads the arguments of this process, or ends it with a message, as for `--help`.
    #[must_use]
    pub fn read() -> Self {
        Self::try_read_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads arguments, the first of which is the program's name.
    ///
    /// # Errors
    /// What is wrong with them, or what is asked for by `--help` and `--version`.
    pub fn try_read_from<T: Into<OsString>>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut command = parsed();
        let matches = command.try_get_matches_from_mut(&arguments);
        let mut matches = matches.map_err(|error| with_two_hyphens(error, &arguments))?;
        if let Some((subcommand, _)) = matches.subcommand() {
            let given = |argument: &&Arg| {
                matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
            };
            let without = |argument: &&Arg| !has_effect(subcommand, argument);
            // The definition as it is written: `command` has `--help` by now, which answers by itself.
            if let Some(flag) = Cli::command()
                .get_arguments()
                .filter(given)
                .find(without)
                .and_then(Arg::get_long)
            {
                let message = format!("--{flag} has no effect on {subcommand}: leave it out");
                return Err(command.error(ErrorKind::ArgumentConflict, message));
            }
        }
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }

    /// The definition for completions and manuals: each subcommand has the flags that it takes, and no
    /// other.
    #[must_use]
    pub fn shown() -> Command {
        each_subcommand(Self::command(), |subcommand, flags| {
            let taken: Vec<Arg> = flags
                .into_iter()
                .filter(|flag| has_effect(subcommand.get_name(), flag))
                .collect();
            subcommand.args(taken)
        })
        .mut_args(|argument| argument.global(false))
    }
}

/// The definition that is parsed by. A flag without an effect on a subcommand is hidden there instead of
/// unknown, so that it is refused in the same words before and behind the subcommand.
fn parsed() -> Command {
    each_subcommand(Cli::command(), |subcommand, flags| {
        let hidden: Vec<Arg> = flags
            .into_iter()
            .filter(|flag| !has_effect(subcommand.get_name(), flag))
            .map(|flag| flag.hide(true))
            .collect();
        subcommand.args(hidden)
    })
}

/// Changes each subcommand with copies of the flags that are global.
fn each_subcommand(mut command: Command, change: impl Fn(Command, Vec<Arg>) -> Command) -> Command {
    let global: Vec<Arg> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .cloned()
        .collect();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, |subcommand| change(subcommand, global.clone()));
    }
    command
}

/// Prometheus' own programs take `-config.file` too, and many type it: where that is what was wrong, the
/// error says what to write.
fn with_two_hyphens(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let mut command = Cli::shown();
    let flags: Vec<String> = std::iter::once(&command)
        .chain(command.get_subcommands())
        .flat_map(Command::get_arguments)
        .filter_map(|argument| argument.get_long().map(ToOwned::to_owned))
        .chain(["help".to_owned(), "version".to_owned()])
        .collect();
    let one_hyphen = arguments.iter().filter_map(|argument| {
        let name = argument.to_str()?.strip_prefix('-')?.split('=').next()?;
        flags.iter().find(|flag| *flag == name)
    });
    match one_hyphen.into_iter().next() {
        Some(flag) => command.error(
            ErrorKind::UnknownArgument,
            format!("unexpected argument '-{flag}': write --{flag}, with two hyphens"),
        ),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_read_from(["jdcloud-cdn-exporter"].iter().chain(arguments).copied())
    }

    /// What each subcommand needs besides, and each global flag with a value.
    const WITH: [(&str, &[&str]); 7] = [
        ("demo", &[]),
        ("check", &[]),
        ("plan", &[]),
        ("backfill", &["--start=2026-11-01", "--end=2026-11-02"]),
        ("healthcheck", &[]),
        ("completions", &["bash"]),
        ("man", &[]),
    ];
    const GLOBAL: [&str; 8] = [
        "--config.file=f.yaml",
        "--shard=1/2",
        "--web.listen-address=127.0.0.1:9",
        "--web.systemd-socket",
        "--web.telemetry-path=/m",
        "--web.config.file=web.yml",
        "--log.level=debug",
        "--log.format=json",
    ];

    fn name(flag: &str) -> &str {
        flag.trim_start_matches("--").split('=').next().unwrap()
    }

    #[test]
    fn the_table_names_what_there_is() {
        let command = Cli::command();
        let there: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(there, EFFECTS.iter().map(|(name, _)| *name).collect());
        let flags: BTreeSet<&str> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .filter_map(Arg::get_long)
            .collect();
        assert_eq!(flags, GLOBAL.iter().copied().map(name).collect());
        for (subcommand, named) in EFFECTS {
            assert!(named.iter().all(|flag| flags.contains(flag)), "{subcommand}");
        }
    }

    #[test]
    fn a_flag_without_an_effect_is_refused_before_and_behind_the_subcommand() {
        for (subcommand, needed) in WITH {
            for flag in GLOBAL {
                let behind = [&[subcommand], needed, &[flag]].concat();
                let before = [&[flag, subcommand], needed].concat();
                for arguments in [behind, before] {
                    let taken = flags_of(subcommand).contains(&name(flag));
                    match read(&arguments) {
                        Ok(_) => assert!(taken, "{arguments:?}"),
                        Err(error) => {
                            assert!(!taken, "{arguments:?}: {error}");
                            let expected =
                                format!("--{} has no effect on {subcommand}: leave it out", name(flag));
                            assert!(error.to_string().contains(&expected), "{error}");
                            assert_eq!(error.exit_code(), 2);
                        }
                    }
                }
            }
            for flag in ["--config.check", "--config.example"] {
                let error = read(&[&[flag, subcommand], needed].concat()).unwrap_err();
                assert!(error.to_string().contains("has no effect on"), "{error}");
            }
        }
    }

    #[test]
    fn the_help_of_a_subcommand_shows_what_it_takes() {
        for (subcommand, _) in WITH {
            let help = read(&[subcommand, "--help"]).unwrap_err().to_string();
            for flag in GLOBAL.map(name) {
                let shown = help.contains(&format!("--{flag} ")) || help.contains(&format!("--{flag}\n"));
                assert_eq!(
                    shown,
                    flags_of(subcommand).contains(&flag),
                    "{subcommand} {flag}:\n{help}"
                );
            }
        }
    }

    #[test]
    fn one_hyphen_is_told_from_two() {
        for (arguments, remedy) in [
            (
                &["-config.file=f.yaml"][..],
                "write --config.file, with two hyphens",
            ),
            (
                &["-config.file", "f.yaml"],
                "write --config.file, with two hyphens",
            ),
            (&["check", "-live"], "write --live, with two hyphens"),
            (&["-version"], "write --version, with two hyphens"),
        ] {
            let error = read(arguments).unwrap_err();
            assert!(error.to_string().contains(remedy), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        // What merely begins with a hyphen keeps its own message.
        let error = read(&["-x"]).unwrap_err().to_string();
        assert!(
            error.contains("'-x'") && !error.contains("two hyphens"),
            "{error}"
        );
    }
}
