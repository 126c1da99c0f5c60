//! Arguments, logging, exit codes; the only place that ends the process.

use std::borrow::Cow;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use jdcloud_cdn_exporter::app::{self, LoadConfig, Parts, Signals};
use jdcloud_cdn_exporter::backfill::{Backfill, Destination, Ended, Wanted};
use jdcloud_cdn_exporter::check::{self, Outcome};
use jdcloud_cdn_exporter::cli::{self, Cli, Command};
use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::config::{self, Config, Environment, Problems, Summary};
use jdcloud_cdn_exporter::demo::Demo;
use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::forecast::{Forecast, Text};
use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::plan::{MAX_SHARDS, Shard};
use jdcloud_cdn_exporter::provider::Trust;
use jdcloud_cdn_exporter::web::{Limits, WebFile, listener};
use jdcloud_cdn_exporter::{build_info, healthcheck, manual, telemetry};

/// The exit code of a configuration, or a command line, that cannot be used.
const UNUSABLE: u8 = 2;

/// Threads that serve; `app` has one more that polls. A scrape takes a tenth of a millisecond there,
/// since what takes longer has threads of its own. More would only wake each other, and hold memory,
/// since malloc keeps some for each thread.
const WORKERS: usize = 1;

/// At most so many threads, started when needed, that render, compress, check passwords and look at the web
/// configuration: well above what scrapes and logins use at once, as a look may hang on its file system. In `backfill`
/// they resolve names.
const BLOCKING: usize = 256;

/// Blocking work that is under way at the end is waited for no longer than this.
const SHUTDOWN: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::read();
    match cli.command {
        Some(Command::Completions { shell }) => return print(&manual::completions(shell)),
        Some(Command::Man) => return print(&manual::page()),
        Some(Command::Healthcheck) => return healthcheck(&cli),
        _ if cli.config_example => return print(config::EXAMPLE),
        _ => {}
    }
    if let Err(error) = telemetry::init(cli.log.level, cli.log.format) {
        return print_error(&error.into());
    }
    let web_file = match web_file(&cli) {
        Ok(file) => file,
        Err(problems) => {
            let takes_both = matches!(cli.command, None | Some(Command::Check(_)));
            let of_other = takes_both.then(|| load_to_poll(&cli).err()).flatten();
            return refuse(&[of_other.unwrap_or_default(), problems].concat());
        }
    };
    let outcome = match &cli.command {
        Some(Command::Demo) => demo(&cli, web_file),
        Some(Command::Check(options)) => match load_to_poll(&cli) {
            Ok(config) => check(&started_with(config), cli.shard, *options),
            Err(problems) => return refuse(&problems),
        },
        Some(Command::Plan(options)) => match load(&cli) {
            Ok(config) => plan(&cli, &started_with(config), *options),
            Err(problems) => return refuse(&problems),
        },
        Some(Command::Backfill(wanted)) => backfill(&cli, wanted),
        Some(Command::Completions { .. } | Command::Man | Command::Healthcheck) | None => {
            match load_to_poll(&cli) {
                Ok(config) if cli.config_check => return print_summary(&started_with(config), cli.shard),
                Ok(config) => exporter(&cli, started_with(config), web_file),
                Err(problems) => return refuse(&problems),
            }
        }
    };
    outcome.unwrap_or_else(|error| print_error(&error))
}

#[allow(
    clippy::print_stderr,
    reason = "one plain line for whoever reads why a container is unhealthy"
)]
fn healthcheck(cli: &Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("unhealthy: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(healthcheck::probe(
        &cli.web.listen_addresses,
        healthcheck::PATIENCE,
    ));
    // A resolver that hangs must not keep the probe.
    runtime.shutdown_timeout(SHUTDOWN);
    match outcome {
        Ok(found) => {
            let lines: Vec<String> = found.iter().map(|healthy| format!("{healthy}\n")).collect();
            print(&lines.concat())
        }
        Err(unhealthy) => {
            eprintln!("{unhealthy}");
            ExitCode::FAILURE
        }
    }
}

fn load(cli: &Cli) -> Result<Config, Vec<String>> {
    let config =
        config::load(&cli.config_file, &Environment::capture()).map_err(|problems| lines(&problems))?;
    for placeholder in config::placeholders(&config) {
        tracing::warn!("{}: {placeholder}", cli.config_file.display());
    }
    Ok(config)
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The configuration as it is when the program starts, of which some things are worth a word.
fn started_with(config: Config) -> Config {
    for variable in &config.unheard {
        tracing::warn!("{variable}");
    }
    config
}

/// The same for a configuration that is polled: the rate limit must allow what this shard owns.
fn load_to_poll(cli: &Cli) -> Result<Config, Vec<String>> {
    let config = load(cli)?;
    admit(config, &cli.config_file.display().to_string(), cli.shard)
}

fn admit(config: Config, place: &str, shard: Shard) -> Result<Config, Vec<String>> {
    config::admit(&config, place, shard)
        .map(|()| config)
        .map_err(|problems| lines(&problems))
}

fn print_summary(config: &Config, shard: Shard) -> ExitCode {
    print(&format!("{}\n", Summary { config, shard }))
}

/// Writes to standard output; who closed it early, as `head` does, has seen enough.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Prints the numbers in any case, and what is wrong with them in the words that a start would use.
fn plan(cli: &Cli, config: &Config, options: cli::Plan) -> anyhow::Result<ExitCode> {
    if options.shards.is_some() && !cli.shard.is_whole() {
        let problem = "--shard shows one shard and --shards all of them; leave one of them out";
        return Ok(refuse(&[problem.to_owned()]));
    }
    let listed = u32::try_from(config.shards.len()).unwrap_or(MAX_SHARDS);
    let forecast = if cli.shard.is_whole() {
        Forecast::of_all(config, options.shards.unwrap_or(listed).max(1))?
    } else {
        Forecast::of_shard(config, cli.shard)?
    };
    let text = Text {
        forecast: &forecast,
        config,
        domains: options.domains,
    };
    let code = print(&text.to_string());
    // Planning for another number of shards than are listed is what --shards is for.
    let mut config = config.clone();
    if options.shards.is_some() {
        config.shards.clear();
    }
    let place = cli.config_file.display().to_string();
    let shards = forecast
        .shares
        .iter()
        .take(1)
        .map(|share| share.shard)
        .chain(forecast.too_busy());
    let mut problems: Vec<String> = shards
        .filter_map(|shard| config::admit(&config, &place, shard).err())
        .flat_map(|problems| lines(&problems))
        .collect();
    problems.sort();
    problems.dedup();
    Ok(if problems.is_empty() {
        code
    } else {
        refuse(&problems)
    })
}

fn check(config: &Config, shard: Shard, options: cli::Check) -> anyhow::Result<ExitCode> {
    let code = print_summary(config, shard);
    if !options.live {
        return Ok(code);
    }
    let trust = trust(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let outcome = runtime.block_on(check::live(
        &Config::of_shard(Cow::Borrowed(config), shard),
        &trust,
        &Clock::System,
        &mut std::io::stdout(),
    ));
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(match outcome? {
        Outcome::Good => ExitCode::SUCCESS,
        Outcome::Trouble => ExitCode::FAILURE,
    })
}

#[allow(
    clippy::print_stderr,
    reason = "the same words at start and from --config.check"
)]
fn refuse(problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    ExitCode::from(UNUSABLE)
}

fn exporter(cli: &Cli, config: Config, web_file: Option<Arc<WebFile>>) -> anyhow::Result<ExitCode> {
    announce_with(cli, &config);
    let again = cli.clone();
    let trust = trust(&config)?;
    let listeners = listeners(cli)?;
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        tracing::info!(%address, path = cli.web.telemetry_path.as_str(), "listening");
    }
    let parts = parts(
        cli,
        trust,
        web_file,
        listeners,
        Arc::new(move || load_to_poll(&again)),
    );
    let ended = run(async |stop| Ok(app::run(config, parts, stop).await?))?;
    if ended.is_some() {
        tracing::info!("stopped");
    }
    Ok(ExitCode::SUCCESS)
}

fn demo(cli: &Cli, web_file: Option<Arc<WebFile>>) -> anyhow::Result<ExitCode> {
    announce();
    // What the demo serves is bound first, as it is for the real exporter.
    let listeners = listeners(cli)?;
    run(async |stop| {
        let demo = Demo::start()
            .await
            .context("the simulated provider cannot start")?;
        let config = started_with(demo.config(&Environment::capture())?);
        config::admit(&config, "the demo's configuration", cli.shard)?;
        let tls = web_file.as_ref().is_some_and(|file| file.is_tls());
        print_where_to_look(cli, &demo, tls, &listeners);
        let again = config.clone();
        // It speaks plain HTTP, so that no file is read here.
        let trust = trust(&config)?;
        let parts = parts(
            cli,
            trust,
            web_file,
            listeners,
            Arc::new(move || Ok(again.clone())),
        );
        app::run(config, parts, stop).await?;
        demo.stop().await;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn backfill(cli: &Cli, wanted: &cli::Backfill) -> anyhow::Result<ExitCode> {
    let mut config = match load(cli) {
        Ok(config) => started_with(config),
        Err(problems) => return Ok(refuse(&problems)),
    };
    let discovers = needs_discovery(&config, &wanted.domains);
    if discovers {
        announce();
        let trust = trust(&config)?;
        let discover = async |stop: CancellationToken| {
            let discovered = app::discover_once(&config, &trust, &Clock::System);
            Ok(stop.run_until_cancelled(discovered).await)
        };
        match run(discover)?.flatten() {
            Some(Ok(discovered)) => config = discovered,
            Some(Err(problems)) => {
                refuse(&problems);
                return Ok(ExitCode::FAILURE);
            }
            None => return Ok(ExitCode::FAILURE),
        }
    }
    let destination = Destination::new(wanted.output.clone(), wanted.format.into());
    let wanted = Wanted {
        start: wanted.start,
        end: wanted.end,
        domains: wanted.domains.clone(),
        shard: cli.shard,
    };
    let backfill = match Backfill::new(&wanted, &config, destination, Clock::System) {
        Ok(backfill) => backfill,
        Err(problems) => return Ok(refuse(&problems)),
    };
    // What is refused is told without it.
    if !discovers {
        announce();
    }
    let ended = run(async |stop| Ok(backfill.run(stop).await?))?;
    Ok(ended.map_or(ExitCode::FAILURE, print_end))
}

/// Whether the provider must be asked which domains there are: not if only listed ones are wanted.
fn needs_discovery(config: &Config, wanted: &[Domain]) -> bool {
    let listed = |wanted: &Domain| {
        let mut all = config.accounts.iter().flat_map(|account| &account.domains);
        all.any(|domain| domain.name == *wanted)
    };
    config.discovers() && (wanted.is_empty() || !wanted.iter().all(listed))
}

#[allow(
    clippy::print_stderr,
    reason = "the summary is for a person; standard output may be the data"
)]
fn print_end(ended: Ended) -> ExitCode {
    match ended {
        Ended::Written { summary, kept } => {
            eprintln!("{summary}");
            if let Some(path) = kept {
                eprintln!(
                    "Some calls failed. What was read is kept in {}: run the same command again to ask for the \
                     rest only, or remove that file.",
                    path.display()
                );
            }
            if summary.missing() == 0 {
                return ExitCode::SUCCESS;
            }
        }
        Ended::Interrupted { kept: Some(path) } => eprintln!(
            "Interrupted. What was read is kept in {}: run the same command again to continue, or remove that \
             file.",
            path.display()
        ),
        Ended::Interrupted { kept: None } => eprintln!(
            "Interrupted. Nothing was kept; with --output, what has been read is kept for the next run."
        ),
    }
    ExitCode::FAILURE
}

/// Whom to trust as the provider. Read before there is a runtime, so that a file that hangs leaves signals alone.
fn trust(config: &Config) -> anyhow::Result<Trust> {
    Trust::read(&config.api).context("the provider cannot be asked")
}

/// The web configuration file, if one is given.
fn web_file(cli: &Cli) -> Result<Option<Arc<WebFile>>, Vec<String>> {
    let Some(path) = &cli.web.config_file else {
        return Ok(None);
    };
    let file = WebFile::open(path).map_err(|error| error.problems)?;
    for warning in file.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Some(Arc::new(file)))
}

fn listeners(cli: &Cli) -> anyhow::Result<Vec<TcpListener>> {
    Ok(if cli.web.systemd_socket {
        listener::from_systemd()?
    } else {
        listener::bind(&cli.web.listen_addresses)?
    })
}

fn parts(
    cli: &Cli,
    trust: Trust,
    web_file: Option<Arc<WebFile>>,
    listeners: Vec<TcpListener>,
    load_config: Arc<LoadConfig>,
) -> Parts {
    Parts {
        listeners,
        telemetry_path: cli.web.telemetry_path.clone(),
        trust,
        web_file,
        limits: Limits::default(),
        clock: Clock::System,
        shard: cli.shard,
        discovery: Pace::default(),
        load_config,
    }
}

/// The first line of a log, for whoever compares runs.
fn announce() {
    tracing::info!(
        version = build_info::VERSION,
        revision = build_info::REVISION,
        "starting"
    );
}

/// The same with what is going to be polled; which shard it is and how many accounts discover only where it
/// is not all and none.
fn announce_with(cli: &Cli, config: &Config) {
    let part = Config::of_shard(Cow::Borrowed(config), cli.shard);
    let discovering = part
        .accounts
        .iter()
        .filter(|account| account.discover.is_some())
        .count();
    tracing::info!(
        version = build_info::VERSION,
        revision = build_info::REVISION,
        config = %cli.config_file.display(),
        shard = (!cli.shard.is_whole()).then(|| tracing::field::display(cli.shard)),
        accounts = part.accounts.len(),
        domains = part.accounts.iter().map(|account| account.domains.len()).sum::<usize>(),
        discovering = (discovering > 0).then_some(discovering),
        "starting"
    );
}

/// Runs until a signal asks for the end, which a second one does not wait for; nothing comes of it then.
fn run<T>(work: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new().context("signals cannot be handled")?;
        let stop = CancellationToken::new();
        let impatient = async {
            let signal = signals.next().await;
            tracing::info!(%signal, "stopping");
            stop.cancel();
            signals.next().await;
            tracing::warn!("stopping at once");
        };
        tokio::select! {
            outcome = work(stop.clone()) => outcome.map(Some),
            () = impatient => Ok(None),
        }
    });
    runtime.shutdown_timeout(SHUTDOWN);
    outcome
}

#[allow(clippy::print_stdout, reason = "the demo tells a person where to look")]
fn print_where_to_look(cli: &Cli, demo: &Demo, tls: bool, listeners: &[TcpListener]) {
    let scheme = if tls { "https" } else { "http" };
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        let host = if address.ip().is_unspecified() {
            "localhost".to_owned()
        } else {
            address.ip().to_string()
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        println!(
            "The exporter of a simulated CDN:\n  \
             metrics   {scheme}://{host}:{port}{path}\n  \
             status    {scheme}://{host}:{port}/\n  \
             provider  {provider} (simulated, {domains} domains)",
            port = address.port(),
            path = cli.web.telemetry_path.as_str(),
            provider = demo.base_url(),
            domains = demo.domain_count(),
        );
    }
    println!(
        "A configuration file for an exporter of your own against the same provider:\n\n{}\nCtrl-C ends it.",
        demo.example()
    );
}

fn print_error(error: &anyhow::Error) -> ExitCode {
    tracing::error!("{}", telemetry::chain(error.as_ref()));
    ExitCode::FAILURE
}
