//! Hours of discovery in milliseconds: a paused clock, lists from memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::model::{ListRow, Reason};
use crate::telemetry::kept::keep;

/// A provider whose list is a script: for every page asked for, what comes.
#[derive(Clone)]
struct Script(
    Arc<dyn Fn(usize, ListPageWanted) -> Reply + Send + Sync>,
    Arc<Mutex<Log>>,
);

#[derive(Default)]
struct Log {
    asked: Vec<(Instant, usize, usize)>,
}

enum Reply {
    Page(Option<u64>, Vec<String>),
    Fails(Failure),
    Late(Duration, Box<Reply>),
    Hangs,
}

impl Script {
    /// `reply` is asked with how many calls there were before.
    fn new(reply: impl Fn(usize, ListPageWanted) -> Reply + Send + Sync + 'static) -> Self {
        Self(Arc::new(reply), Arc::default())
    }

    fn asked(&self) -> Vec<(Instant, usize, usize)> {
        self.1.lock().unwrap().asked.clone()
    }
}

impl Catalogue for Script {
    async fn page(&self, wanted: ListPageWanted, _: DateShift) -> Result<ListPage, Failure> {
        let call = {
            let mut log = self.1.lock().unwrap();
            log.asked.push((Instant::now(), wanted.number, wanted.size));
            log.asked.len() - 1
        };
        let mut reply = (self.0)(call, wanted);
        while let Reply::Late(wait, then) = reply {
            tokio::time::sleep(wait).await;
            reply = *then;
        }
        match reply {
            Reply::Page(total, names) => Ok(ListPage {
                total,
                rows: names
                    .into_iter()
                    .map(|name| ListRow {
                        name,
                        kind: String::new(),
                    })
                    .collect(),
                left_out: 0,
            }),
            Reply::Fails(failure) => Err(failure),
            Reply::Late(..) => unreachable!("waited for"),
            Reply::Hangs => std::future::pending().await,
        }
    }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("d{i:04}.example.com")).collect()
}

/// A page of so many domains as a faithful provider gives it.
fn faithful(count: usize, wanted: ListPageWanted) -> Reply {
    let start = ((wanted.number - 1) * wanted.size).min(count);
    let end = (start + wanted.size).min(count);
    Reply::Page(u64::try_from(count).ok(), names(start..end))
}

fn failure(reason: Reason, disposition: Disposition) -> Reply {
    Reply::Fails(Failure {
        reason,
        disposition,
        message: "made up".to_owned(),
    })
}

/// Takes every list, unless told otherwise.
#[derive(Default)]
struct Shelf {
    taken: Mutex<Vec<(Instant, u64, usize)>>,
    progress: Mutex<Option<Arc<Progress>>>,
    stale: AtomicBool,
}

impl Taker for Arc<Shelf> {
    async fn take(&self, _: &AccountName, source: u64, list: Arc<DomainList>) -> Result<Taken, Unlisted> {
        if self.stale.load(Ordering::Relaxed) {
            return Ok(Taken::Stale);
        }
        let mut taken = self.taken.lock().unwrap();
        taken.push((Instant::now(), source, list.domains.len()));
        // As the application does: without a filter all of them are selected.
        if let Some(progress) = self.progress.lock().unwrap().as_ref() {
            progress.selected(Some(list.domains.len()));
        }
        Ok(Taken::Over)
    }
}

#[derive(Default)]
struct Ends(Mutex<Vec<Option<DiscoveryReason>>>);

impl Observer for Ends {
    fn discovery_ended(
        &self,
        _: &AccountName,
        _: chrono::DateTime<chrono::Utc>,
        failure: Option<DiscoveryReason>,
    ) {
        self.0.lock().unwrap().push(failure);
    }
}

fn assignment(script: &Script, source: u64, max_domains: usize) -> Arc<Assignment<Script>> {
    let account = AccountName::new("a");
    Arc::new(Assignment {
        lane: Arc::new(Lane::new(account.clone(), 8, 1_000.0, Arc::new(Ends::default()))),
        account,
        source,
        reload: 0,
        max_domains,
        catalogue: script.clone(),
    })
}

/// The same again, by a reload.
fn reloaded(script: &Script, reload: u64) -> Arc<Assignment<Script>> {
    let assignment = Arc::into_inner(assignment(script, 1, 2_000)).unwrap();
    Arc::new(Assignment { reload, ..assignment })
}

/// A running discovery.
struct Running {
    assignments: watch::Sender<Arc<Assignment<Script>>>,
    shelf: Arc<Shelf>,
    ends: Arc<Ends>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    began: Instant,
}

impl Running {
    fn start(script: &Script, max_domains: usize) -> Self {
        Self::start_with(script, max_domains, Shelf::default())
    }

    fn start_with(script: &Script, max_domains: usize, shelf: Shelf) -> Self {
        let (assignments, receiver) = watch::channel(assignment(script, 1, max_domains));
        let (shelf, ends) = (Arc::new(shelf), Arc::new(Ends::default()));
        let progress = Arc::new(Progress::new(AccountName::new("a")));
        *shelf.progress.lock().unwrap() = Some(Arc::clone(&progress));
        let stop = CancellationToken::new();
        let surroundings = Surroundings {
            taker: Arc::clone(&shelf),
            observer: Arc::<Ends>::clone(&ends),
            clock: Clock::Manual(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap())),
            pace: Pace::default(),
        };
        let task = tokio::runtime::Handle::current().spawn(run(
            receiver,
            surroundings,
            Arc::clone(&progress),
            stop.clone(),
        ));
        Self {
            assignments,
            shelf,
            ends,
            progress,
            stop,
            task,
            began: Instant::now(),
        }
    }

    /// Lets so many seconds pass since the start.
    async fn until(&self, seconds: u64) {
        tokio::time::sleep_until(self.began + Duration::from_secs(seconds)).await;
    }

    fn taken(&self) -> Vec<usize> {
        let taken = self.shelf.taken.lock().unwrap();
        taken.iter().map(|(_, _, domains)| *domains).collect()
    }

    fn ends(&self) -> Vec<Option<DiscoveryReason>> {
        self.ends.0.lock().unwrap().clone()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_is_read_in_pages_every_ten_minutes() {
    let script = Script::new(|_, wanted| faithful(250, wanted));
    let running = Running::start(&script, 2_000);
    running.until(1_801).await;
    assert_eq!(running.taken(), [250; 4]);
    let asked: Vec<(u64, usize, usize)> = script
        .asked()
        .into_iter()
        .map(|(at, number, size)| ((at - running.began).as_secs(), number, size))
        .collect();
    let round = |at| [(at, 1, 100), (at, 2, 100), (at, 3, 100)];
    assert_eq!(asked, [0, 600, 1_200, 1_800].map(round).concat());
    assert!(running.progress.view().first_attempt_done);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_it_is_tried_again_soon_and_then_ever_more_seldom() {
    let script = Script::new(|_, _| failure(Reason::UnknownUser, Disposition::Stop));
    let running = Running::start(&script, 2_000);
    running.until(5).await;
    assert!(running.progress.view().first_attempt_done);
    running.until(7_200).await;
    let asked = script.asked();
    let pauses: Vec<f64> = asked
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0).as_secs_f64())
        .collect();
    for (pause, most) in pauses
        .iter()
        .zip([10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0])
    {
        // The timer counts in milliseconds.
        assert!((most * 0.75..=most + 0.01).contains(pause), "{pauses:?}");
    }
    assert!(running.taken().is_empty());
    let reason = Some(DiscoveryReason::Call(Reason::UnknownUser));
    assert!(running.ends().iter().all(|end| *end == reason));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_page_gives_nothing_and_the_next_attempt_begins_anew() {
    // The third page fails for good, once.
    let script = Script::new(|call, wanted| match call {
        2 => failure(Reason::Decode, Disposition::Stop),
        _ => faithful(250, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert!(running.taken().is_empty());
    running.until(11).await;
    assert_eq!(running.taken(), [250]);
    assert_eq!(
        running.ends(),
        [Some(DiscoveryReason::Call(Reason::Decode)), None]
    );
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_is_asked_for_again_within_the_attempt_as_every_call_is() {
    let script = Script::new(|call, wanted| match call {
        1 | 2 => failure(Reason::Connect, Disposition::Retry { after: None }),
        _ => faithful(150, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(9).await;
    assert_eq!(running.taken(), [150]);
    assert_eq!(script.asked().len(), 4);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_while_it_is_read_is_read_once_more() {
    // A domain appears between the first two pages, and then the list stays.
    let script = Script::new(|call, wanted| faithful(if call == 0 { 150 } else { 151 }, wanted));
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!(running.taken(), [151]);
    assert_eq!(script.asked().len(), 4);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn totals_that_never_add_up_keep_the_last_list() {
    let script = Script::new(|_, wanted| match faithful(150, wanted) {
        Reply::Page(_, names) => Reply::Page(Some(160), names),
        other => other,
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert!(running.taken().is_empty());
    assert_eq!(running.ends(), [Some(DiscoveryReason::Incomplete)]);
    // Two readings of two pages and the one that brings nothing.
    assert_eq!(script.asked().len(), 6);
    let (_, told) = running.progress.view().last_failure.unwrap();
    assert!(told.contains("its total is 160, and 150 domains came"), "{told}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn repeated_names_are_taken_if_two_readings_agree() {
    let repeating = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Reply::Page(Some(3), names)
    };
    let script = Script::new(move |_, _| repeating(&["a.com", "b.com", "a.com"]));
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!((running.taken(), script.asked().len()), (vec![2], 2));
    running.end().await;

    let script = Script::new(move |call, _| match call {
        0 => repeating(&["a.com", "b.com", "a.com"]),
        _ => repeating(&["a.com", "c.com", "c.com"]),
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert!(running.taken().is_empty());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_needs_its_total_or_a_second_look() {
    for (total, calls) in [(Some(0), 1), (None, 2)] {
        let script = Script::new(move |_, _| Reply::Page(total, Vec::new()));
        let running = Running::start(&script, 2_000);
        running.until(1).await;
        assert_eq!(
            (running.taken(), script.asked().len()),
            (vec![0], calls),
            "{total:?}"
        );
        running.end().await;
    }
}

/// What the provider says of itself does not matter: `total: 0`, no total, or rows that name no host.
#[tokio::test(start_paused = true)]
async fn a_list_without_domains_replaces_one_with_domains_only_after_an_hour() {
    let nothing = || Reply::Page(Some(0), Vec::new());
    let wildcards = || Reply::Page(Some(2), vec![String::new(), "*.example.com".to_owned()]);
    let without_total = || Reply::Page(None, Vec::new());
    for empty in [nothing, wildcards, without_total] {
        let script = Script::new(move |call, wanted| if call == 0 { faithful(5, wanted) } else { empty() });
        let running = Running::start(&script, 2_000);
        running.until(600 + 3_599).await;
        assert_eq!(running.taken(), [5]);
        let ends = running.ends();
        assert!(ends.len() > 6, "{ends:?}");
        assert!(
            ends[1..].iter().all(|end| *end == Some(DiscoveryReason::Empty)),
            "{ends:?}"
        );
        let (_, told) = running.progress.view().last_failure.unwrap();
        assert!(
            told.contains("5 domains of the last one are selected") && told.contains("for 1h"),
            "{told}"
        );
        // The next attempt comes within ten minutes.
        running.until(600 + 4_201).await;
        assert_eq!(running.taken(), [5, 0]);
        assert_eq!(running.ends().last(), Some(&None));
        // There is nothing to lose any more.
        running.until(600 + 4_900).await;
        assert_eq!(running.taken(), [5, 0, 0]);
        running.end().await;
    }
}

/// Told once it is so, and not of a list that nobody wants any more.
#[tokio::test(start_paused = true)]
async fn the_log_tells_what_an_empty_list_took_away_once_it_is_taken_over() {
    for stale in [false, true] {
        let (sink, _kept) = keep(Clock::System);
        let script = Script::new(|call, wanted| match call {
            0 => faithful(1, wanted),
            _ => Reply::Page(Some(0), Vec::new()),
        });
        let running = Running::start(&script, 2_000);
        running.until(600 + 3_599).await;
        let waits = sink.take();
        running.shelf.stale.store(stale, Ordering::Relaxed);
        running.until(600 + 4_201).await;
        let dropped = "level=warn msg=\"the list of domains has had none for 1h, so what was selected of the last one \
                       is dropped\" account=a selected=1";
        let told = sink.take().iter().any(|line| line == dropped);
        assert_eq!(
            (told, running.taken()),
            if stale {
                (false, vec![1])
            } else {
                (true, vec![1, 0])
            }
        );
        for line in &waits {
            // Whole milliseconds: `7.824s` and `2m30.001s` are, `7.824123456s` is not.
            let wait = line
                .split_once(" again_in=")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap();
            let fraction = wait.split_once('.').map_or("", |(_, fraction)| fraction);
            assert!(fraction.len() <= "000s".len(), "{line}");
            assert!(
                line.contains("where 1 domain of the last one is selected;"),
                "{line}"
            );
        }
        assert!(waits.len() > 6, "{waits:?}");
        running.end().await;
    }
}

/// Whatever else comes between, a good list or none at all, makes the hour begin anew; reloads, which ask
/// at once, do not make it shorter.
#[tokio::test(start_paused = true)]
async fn only_a_list_that_is_empty_at_every_attempt_is_believed() {
    for fails in [false, true] {
        let between = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&between);
        let script = Script::new(move |call, wanted| match call {
            0 => faithful(5, wanted),
            _ if !other.swap(false, Ordering::Relaxed) => Reply::Page(Some(0), Vec::new()),
            _ if fails => failure(Reason::Decode, Disposition::Stop),
            _ => faithful(6, wanted),
        });
        let running = Running::start(&script, 2_000);
        for reload in 1..=50 {
            running.until(60 * reload).await;
            running.assignments.send_replace(reloaded(&script, reload));
        }
        between.store(true, Ordering::Relaxed);
        running.until(60 * 51).await;
        running.assignments.send_replace(reloaded(&script, 51));
        let good = if fails { vec![5] } else { vec![5, 6] };
        running.until(60 * 51 + 3_600).await;
        assert_eq!(running.taken(), good);
        running.until(60 * 51 + 5_400).await;
        assert_eq!(running.taken().last(), Some(&0));
        running.end().await;
    }
}

/// One domain leaves and another comes between two pages: the total is the same, and a third one, which
/// slips to the page that has been read, is missing.
#[tokio::test(start_paused = true)]
async fn what_takes_a_domain_away_is_read_twice() {
    let script = Script::new(|call, wanted| {
        // From the fifth call on, which is the second page of the second reading, d0000 is gone.
        let gone = usize::from(call > 3);
        let start = (wanted.number - 1) * wanted.size + gone;
        let end = (start + wanted.size).min(250 + gone);
        Reply::Page(Some(250), names(start..end))
    });
    let running = Running::start(&script, 2_000);
    running.until(601).await;
    assert_eq!(
        running.taken(),
        [250],
        "d0100 is neither on the first page nor on the second"
    );
    assert_eq!(running.ends(), [None, Some(DiscoveryReason::Incomplete)]);
    // Soon after, both readings say the same.
    running.until(612).await;
    assert_eq!(
        (running.taken(), script.asked().len()),
        (vec![250, 250], 3 + 6 + 6)
    );
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_only_brings_domains_is_read_once() {
    let script = Script::new(|call, wanted| faithful(50 + call, wanted));
    let running = Running::start(&script, 2_000);
    running.until(1_201).await;
    assert_eq!((running.taken(), script.asked().len()), (vec![50, 51, 52], 3));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_runaway_list_ends_the_attempt_at_once() {
    let billion = Script::new(|_, wanted| match faithful(100, wanted) {
        Reply::Page(_, names) => Reply::Page(Some(1_000_000_000), names),
        other => other,
    });
    let endless = Script::new(|_, wanted| {
        let start = (wanted.number - 1) * wanted.size;
        Reply::Page(None, names(start..start + wanted.size))
    });
    // 250 domains and a hundred rows more end on the fourth page.
    for (script, calls) in [(billion, 1), (endless, 4)] {
        let running = Running::start(&script, 250);
        running.until(1).await;
        assert!(running.taken().is_empty());
        assert_eq!(running.ends(), [Some(DiscoveryReason::TooManyDomains)]);
        assert_eq!(script.asked().len(), calls);
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_with_shorter_pages_is_read_in_those() {
    // It gives ten rows at most, and counts pages by what is asked for.
    let script = Script::new(|_, wanted| match faithful(35, wanted) {
        Reply::Page(total, mut names) => {
            names.truncate(10);
            Reply::Page(total, names)
        }
        other => other,
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!(running.taken(), [35]);
    running.end().await;
}

/// Each page comes in time, and all of them together do not.
#[tokio::test(start_paused = true)]
async fn a_list_that_crawls_is_given_up() {
    let script = Script::new(|call, wanted| match call {
        0..40 => Reply::Late(Duration::from_secs(50), Box::new(faithful(4_100, wanted))),
        _ => faithful(5, wanted),
    });
    let running = Running::start(&script, 5_000);
    // Ten minutes, and two seconds for each of fifty pages.
    running.until(699).await;
    assert_eq!((script.asked().len(), running.ends()), (14, vec![]));
    running.until(701).await;
    let reason = DiscoveryReason::Call(Reason::Timeout);
    assert_eq!(running.ends(), [Some(reason)]);
    let view = running.progress.view();
    assert!(view.first_attempt_done && view.last_failure.unwrap().1.contains("in 11m40s"));
    running.end().await;
}

/// Ten rows of each hundred that are asked for, and no total: what is between must not be passed over.
#[tokio::test(start_paused = true)]
async fn shorter_pages_without_a_total_are_not_taken_for_the_list() {
    let script = Script::new(|_, wanted| match faithful(250, wanted) {
        Reply::Page(_, mut names) => {
            names.truncate(10);
            Reply::Page(None, names)
        }
        other => other,
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!(running.taken(), [250]);
    // Two pages tell, and 25 of ten rows and an empty one follow.
    assert_eq!(script.asked().len(), 2 + 26);
    running.end().await;
}

/// The document gives no maximum, and ten as the default.
#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_pages_of_a_hundred_is_asked_for_ten() {
    for reason in [Reason::BadRequest, Reason::ForeignDomain] {
        let script = Script::new(move |_, wanted| match wanted.size {
            0..=50 => faithful(35, wanted),
            _ => failure(reason, Disposition::Stop),
        });
        let running = Running::start(&script, 2_000);
        running.until(1).await;
        assert_eq!((running.taken(), script.asked().len()), (vec![35], 5));
        running.end().await;
    }
    // A refusal of another kind, or of pages of ten as well, is one.
    for (reason, calls) in [(Reason::BadRequest, 2), (Reason::UnknownUser, 1)] {
        let script = Script::new(move |_, _| failure(reason, Disposition::Stop));
        let running = Running::start(&script, 2_000);
        running.until(1).await;
        assert_eq!(running.ends(), [Some(DiscoveryReason::Call(reason))]);
        assert_eq!(script.asked().len(), calls);
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_to_wait_is_waited() {
    let after = Some(Duration::from_secs(300));
    let script = Script::new(move |call, wanted| match call {
        0 => failure(Reason::Throttled, Disposition::Retry { after }),
        _ => faithful(1, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(299).await;
    assert_eq!(script.asked().len(), 1);
    running.until(301).await;
    assert_eq!(running.taken(), [1]);
    running.end().await;
}

/// Also while an attempt hangs.
#[tokio::test(start_paused = true)]
async fn another_source_is_asked_at_once_and_the_same_one_in_its_time() {
    let script = Script::new(|call, wanted| match call {
        1 => Reply::Hangs,
        _ => faithful(5, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(100).await;
    running.assignments.send_replace(assignment(&script, 1, 3_000));
    running.until(101).await;
    assert_eq!(script.asked().len(), 1, "nothing has changed that matters");
    running.assignments.send_replace(assignment(&script, 2, 3_000));
    running.until(102).await;
    assert_eq!(script.asked().len(), 2, "and it hangs");
    running.assignments.send_replace(assignment(&script, 3, 3_000));
    running.until(103).await;
    assert_eq!(script.asked().len(), 3);
    let sources: Vec<u64> = running
        .shelf
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|taken| taken.1)
        .collect();
    assert_eq!(sources, [1, 3]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_a_reload_is_reason_enough_to_try_again() {
    let script = Script::new(|call, wanted| match call {
        0 => failure(Reason::Signature, Disposition::Stop),
        _ => faithful(5, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(2).await;
    running.assignments.send_replace(reloaded(&script, 1));
    running.until(3).await;
    assert_eq!(running.taken(), [5]);
    running.end().await;
}

/// All are assigned anew when the list of any account is taken over.
#[tokio::test(start_paused = true)]
async fn a_list_of_another_account_does_not_cut_a_pause_short() {
    let after = Some(Duration::from_secs(300));
    let script = Script::new(move |call, wanted| match call {
        0 => failure(Reason::Throttled, Disposition::Retry { after }),
        _ => faithful(1, wanted),
    });
    let running = Running::start(&script, 2_000);
    for seconds in [100, 200] {
        running.until(seconds).await;
        running.assignments.send_replace(assignment(&script, 1, 2_000));
    }
    running.until(299).await;
    assert_eq!(script.asked().len(), 1);
    running.until(301).await;
    assert_eq!(running.taken(), [1]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_asks_for_the_list_at_once_and_for_no_other_reason_again() {
    let script = Script::new(|call, wanted| faithful(5 + call, wanted));
    let running = Running::start(&script, 2_000);
    running.until(100).await;
    running.assignments.send_replace(reloaded(&script, 1));
    running.until(101).await;
    assert_eq!(running.taken(), [5, 6]);
    // The list of another account was taken over, and all are assigned anew.
    running.assignments.send_replace(reloaded(&script, 1));
    running.until(700).await;
    assert_eq!(running.taken(), [5, 6]);
    running.until(702).await;
    assert_eq!(running.taken(), [5, 6, 7], "and in its time");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_nobody_wants_any_more_is_no_failure() {
    let script = Script::new(|_, wanted| faithful(5, wanted));
    let shelf = Shelf {
        stale: true.into(),
        ..Shelf::default()
    };
    let running = Running::start_with(&script, 2_000, shelf);
    running.until(5_000).await;
    assert_eq!(script.asked().len(), 1);
    assert!(running.ends().is_empty());
    running.assignments.send_replace(assignment(&script, 2, 2_000));
    running.until(5_001).await;
    assert_eq!(script.asked().len(), 2);
    running.end().await;
}

#[test]
fn a_list_that_never_came_is_not_said_to_stay() {
    assert!(what_stays(None).starts_with("there is no list yet"));
    for domains in [0, 5] {
        assert_eq!(what_stays(Some(domains)), "the last good list stays in use");
    }
}
