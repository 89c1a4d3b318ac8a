//! Fetching from servers that do what servers do: each fault ends in the dataset or in an error that names it.

mod server;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use replay::fetch::{Attempt, Fault, Fetch, FetchError, Fetched, Patience};
use replay::{Error, formats};
use tempfile::TempDir;

use server::{Answer, Request, Server, file};

const ID: &str = "halfcheetah-medium-v2";
const NAME: &str = "halfcheetah_medium-v2.hdf5";
const TAG: &str = "\"one\"";

/// The content of a small dataset.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/d4rl").join(name)).unwrap()
}

fn content() -> Vec<u8> {
    fixture("gym_mujoco.hdf5")
}

/// Waits that a test can wait for.
fn quick(tries: u32) -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(200),
        tries: NonZeroU32::new(tries).unwrap(),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(20),
    }
}

fn of(folder: &TempDir, server: &Server) -> Fetch {
    Fetch::new(ID).unwrap().folder(folder.path()).urls([server.url(NAME)]).unwrap().patience(quick(3))
}

fn run(fetch: &Fetch) -> Result<Fetched, FetchError> {
    fetch.run(&|_, _, _| ())
}

/// What went wrong at each address, of a fetch that must fail.
fn faults(fetch: &Fetch) -> Vec<Attempt> {
    match run(fetch).unwrap_err() {
        FetchError::Failed { attempts, .. } => attempts,
        other => panic!("{other}"),
    }
}

fn names(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder, and a fetch into it from a server that does as `script` says, which must succeed with `expected`.
fn succeeds(
    expected: &[u8],
    script: impl FnMut(usize, &Request) -> Answer + Send + 'static,
) -> (Fetched, Vec<Request>) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(script);
    let fetched = run(&of(&folder, &server)).unwrap();
    assert_eq!(fetched.path, folder.path().join(NAME));
    assert!(fs::read(&fetched.path).unwrap() == expected, "other bytes");
    assert_eq!(names(&folder), [NAME.to_owned(), format!("{NAME}.sha256")]);
    (fetched, server.requests())
}

#[test]
fn a_dataset_is_fetched_once_and_its_hash_kept() {
    let folder = tempfile::tempdir().unwrap();
    let nested = folder.path().join("a/b");
    let server = Server::new(|_, request| file(request, &content(), TAG));
    let fetch = of(&folder, &server).folder(&nested).urls([server.url("d4rl/")]).unwrap();
    let fetched = run(&fetch).unwrap();
    let (_, report) = formats::open(nested.join(NAME)).unwrap();
    assert_eq!((&fetched.report, &fetched.sha256, fetched.bytes), (&report, &report.checksum, report.bytes));
    assert_eq!((fetched.resumed_from, fetched.url), (0, Some(server.url(&format!("d4rl/{NAME}")))));
    let kept = fs::read_to_string(nested.join(format!("{NAME}.sha256"))).unwrap();
    assert_eq!(kept, format!("{}  {NAME}\n", report.checksum));
    let asked = server.requests();
    assert_eq!(asked[0].line, format!("GET /d4rl/{NAME}"));
    assert_eq!((asked[0].header("range"), asked[0].header("accept-encoding")), (None, Some("identity")));

    let again = run(&fetch).unwrap();
    assert_eq!((again.url, again.sha256), (None, report.checksum));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_dropped_connection_is_continued() {
    let (fetched, asked) = succeeds(&content(), |number, request| {
        let answer = file(request, &content(), TAG);
        if number < 2 { answer.cut(10_000) } else { answer }
    });
    let ranges: Vec<_> = asked.iter().map(|r| (r.header("range"), r.header("if-range"))).collect();
    assert_eq!(ranges, [(None, None), (Some("bytes=10000-"), Some(TAG)), (Some("bytes=20000-"), Some(TAG))]);
    assert_eq!(fetched.resumed_from, 20_000);
}

#[test]
fn an_interrupted_fetch_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|number, request| {
        let answer = file(request, &content(), TAG);
        if number == 0 { answer.cut(30_000) } else { answer }
    });
    let fetch = of(&folder, &server).patience(quick(1));
    let attempts = faults(&fetch);
    let all = content().len() as u64;
    assert!(matches!(attempts[0].fault, Fault::Dropped { at: 30_000, of } if of == Some(all)), "{attempts:?}");
    assert!(!fetch.target().unwrap().exists());
    assert_eq!(run(&fetch).unwrap().resumed_from, 30_000);
    assert!(fs::read(fetch.target().unwrap()).unwrap() == content());
    assert_eq!(names(&folder), [NAME.to_owned(), format!("{NAME}.sha256")]);
}

#[test]
fn silence_ends_a_try_and_not_the_fetch() {
    let (_, asked) = succeeds(&content(), |number, request| {
        let answer = file(request, &content(), TAG);
        if number == 0 { answer.cut(5_000).hold() } else { answer }
    });
    assert_eq!(asked[1].header("range"), Some("bytes=5000-"));
}

#[test]
fn lasting_silence_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, request| file(request, &content(), TAG).cut(5_000).hold());
    let began = Instant::now();
    let message = run(&of(&folder, &server).patience(quick(1))).unwrap_err().to_string();
    assert!(message.contains(&format!("sent nothing for 0.2 s, after 5000 of {} bytes", content().len())), "{message}");
    assert!(began.elapsed() < Duration::from_secs(5));

    let server = Server::new(|_, _| Answer::silence());
    let folder = tempfile::tempdir().unwrap();
    let attempts = faults(&of(&folder, &server));
    assert!(matches!(attempts[0].fault, Fault::Stalled { at: 0, of: None, .. }), "{attempts:?}");
    assert_eq!((attempts[0].tries, server.requests().len()), (3, 3));
}

#[test]
fn a_server_that_cannot_continue_sends_it_anew() {
    let (fetched, asked) = succeeds(&content(), |number, _| {
        let answer = Answer::new("200 OK", &content()).with("ETag", TAG);
        if number == 0 { answer.cut(10_000) } else { answer }
    });
    assert_eq!((fetched.resumed_from, asked.len()), (0, 2));
}

#[test]
fn without_a_state_nothing_is_continued() {
    let (_, asked) = succeeds(&content(), |number, _| {
        let answer = Answer::new("200 OK", &content()).with("ETag", "W/\"weak\"");
        if number == 0 { answer.cut(10_000) } else { answer }
    });
    assert_eq!(asked[1].header("range"), None);
}

#[test]
fn a_file_that_changes_meanwhile_is_fetched_anew() {
    let (old, new) = (content(), fixture("maze2d.hdf5"));
    let expected = new.clone();
    let (fetched, asked) = succeeds(&expected, move |number, request| match number {
        0 => file(request, &old, TAG).cut(10_000),
        _ => file(request, &new, "\"two\""),
    });
    assert_eq!((asked[1].header("if-range"), fetched.resumed_from), (Some(TAG), 0));
}

#[test]
fn a_server_that_continues_another_file_is_not_believed() {
    for (tag, size) in [("\"two\"", 0), (TAG, 7)] {
        let (old, new) = (content(), fixture("maze2d.hdf5"));
        let expected = new.clone();
        let (_, asked) = succeeds(&expected, move |number, request| match number {
            0 => file(request, &old, TAG).cut(10_000),
            // Without a look at If-Range; with the old tag only the size tells.
            1 => Answer::new("206 Partial Content", &new[10_000..])
                .with("ETag", tag)
                .with("Content-Range", format_args!("bytes 10000-{}/{}", new.len() - 1 + size, new.len() + size)),
            _ => file(request, &new, "\"two\""),
        });
        assert_eq!(asked[2].header("range"), None);
    }
}

#[test]
fn a_file_that_shrank_is_fetched_anew() {
    let (old, new) = (content(), fixture("kitchen.hdf5"));
    let expected = new.clone();
    succeeds(&expected, move |number, request| match number {
        0 => file(request, &old, TAG).cut(30_000),
        // The same tag, wrongly: there are no such bytes.
        _ => file(request, &new, TAG),
    });
}

#[test]
fn a_wrong_range_is_not_taken() {
    let (_, asked) = succeeds(&content(), |number, request| match number {
        0 => file(request, &content(), TAG).cut(10_000),
        1 => {
            let end = content().len();
            let range = format!("bytes 9000-{}/{end}", end - 1);
            Answer::new("206 Partial Content", &content()[9_000..]).with("ETag", TAG).with("Content-Range", range)
        }
        _ => file(request, &content(), TAG),
    });
    assert_eq!(asked[2].header("range"), Some("bytes=10000-"));
}

#[test]
fn a_length_that_is_too_long_ends_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, _| Answer::new("200 OK", &content()).with("Content-Length", content().len() + 100));
    let attempts = faults(&of(&folder, &server));
    assert_eq!(attempts[0].tries, 3);
    let (held, said) = (content().len() as u64, content().len() as u64 + 100);
    assert!(
        matches!(attempts[0].fault, Fault::Dropped { at, of } if at == held && of == Some(said)),
        "{:?}",
        attempts[0]
    );
}

#[test]
fn a_length_that_is_too_short_gives_no_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, _| Answer::new("200 OK", &content()).with("Content-Length", 20_000));
    let message = run(&of(&folder, &server)).unwrap_err().to_string();
    let aside = folder.path().join(format!("{NAME}.rejected"));
    assert!(message.contains(&format!("kept as {}: is not a complete HDF5 file", aside.display())), "{message}");
    assert_eq!(fs::read(&aside).unwrap().len(), 20_000);
    assert!(!folder.path().join(NAME).exists());
}

#[test]
fn a_length_that_is_not_said_is_no_hindrance() {
    let (fetched, _) = succeeds(&content(), |_, _| Answer::new("200 OK", &content()).without("Content-Length"));
    assert_eq!(fetched.bytes, content().len() as u64);
}

#[test]
fn more_than_the_disk_holds_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, _| Answer::new("200 OK", &content()).with("Content-Length", 1_u64 << 60));
    let attempts = faults(&of(&folder, &server));
    assert!(matches!(attempts[0].fault, Fault::Space { needed, .. } if needed == 1 << 60), "{attempts:?}");
    assert_eq!(attempts[0].tries, 1);
}

#[test]
fn mirrors_are_tried_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Server::new(|_, _| Answer::new("404 Not Found", b"no"));
    let good = Server::new(|_, request| file(request, &content(), TAG));
    let fetched = run(&of(&folder, &gone).urls([gone.url("x"), good.url("y")]).unwrap()).unwrap();
    assert_eq!((fetched.url, gone.requests().len()), (Some(good.url("y")), 1));
}

#[test]
fn all_that_failed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Server::new(|_, _| Answer::new("404 Not Found", b"no"));
    let broken = Server::new(|_, _| Answer::new("500 Internal Server Error", b"oh"));
    let nobody = Server::new(|_, _| Answer::new("200 OK", b"")).url("z");
    let fetch = of(&folder, &gone).urls([gone.url("x"), broken.url("y"), nobody.clone()]).unwrap();
    let message = run(&fetch).unwrap_err().to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], format!("{ID} could not be fetched"));
    assert_eq!(lines[1], format!("  {}: answers with status 404", gone.url("x")));
    assert_eq!(lines[2], format!("  {}: answers with status 500 (3 tries)", broken.url("y")));
    assert!(lines[3].contains(&nobody) && lines[3].contains("cannot be reached"), "{message}");
}

#[test]
fn a_server_that_recovers_is_waited_for() {
    let began = Instant::now();
    let (_, asked) = succeeds(&content(), |number, request| match number {
        0 => Answer::new("500 Internal Server Error", b"oh"),
        // As long as it asks for, were it not for our own limit.
        1 => Answer::new("503 Service Unavailable", b"busy").with("Retry-After", 3600),
        _ => file(request, &content(), TAG),
    });
    assert!(asked.len() == 3 && began.elapsed() < Duration::from_secs(5));
}

#[test]
fn redirects_are_followed_also_when_going_on() {
    let (fetched, asked) = succeeds(&content(), |number, request| match number {
        0 | 2 => Answer::new("302 Found", b"").with("Location", "/elsewhere"),
        1 => file(request, &content(), TAG).cut(10_000),
        _ => file(request, &content(), TAG),
    });
    let lines: Vec<&str> = asked.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines[1..], ["GET /elsewhere", &format!("GET /{NAME}"), "GET /elsewhere"]);
    assert_eq!(fetched.resumed_from, 10_000);
}

#[test]
fn redirects_without_end_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|number, _| Answer::new("302 Found", b"").with("Location", format_args!("/{number}")));
    let attempts = faults(&of(&folder, &server));
    assert!(matches!(attempts[0].fault, Fault::Redirects) && attempts[0].tries == 1, "{attempts:?}");
}

#[test]
fn a_web_page_is_no_dataset_and_costs_nothing_that_is_held() {
    let page = b"<!DOCTYPE html><title>Sign in</title>";
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(move |number, request| match number {
        0 => file(request, &content(), TAG).cut(10_000),
        1 => Answer::new("200 OK", page).with("Content-Type", "text/html; charset=utf-8"),
        _ => file(request, &content(), TAG),
    });
    let message = run(&of(&folder, &server)).unwrap_err().to_string();
    assert!(message.contains("sends a web page (text/html; charset=utf-8) instead of the file"), "{message}");
    assert_eq!(run(&of(&folder, &server)).unwrap().resumed_from, 10_000);

    // One that does not say what it is.
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(move |_, _| Answer::new("200 OK", page));
    let attempts = faults(&of(&folder, &server));
    let Fault::Rejected { aside, why, .. } = &attempts[0].fault else { panic!("{attempts:?}") };
    assert!(why.starts_with("is not a complete HDF5 file"), "{why}");
    assert_eq!((fs::read(aside).unwrap(), attempts[0].tries), (page.to_vec(), 1));
}

#[test]
fn an_hdf5_file_that_is_no_dataset_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    hdf5::File::create(&path).unwrap().new_dataset::<f32>().shape(3).create("x").unwrap();
    let other = fs::read(path).unwrap();
    let server = Server::new(move |_, request| file(request, &other, TAG));
    let attempts = faults(&of(&folder, &server));
    let Fault::Rejected { why, .. } = &attempts[0].fault else { panic!("{attempts:?}") };
    assert!(why.contains("'observations'") && why.ends_with("is missing"), "{why}");
}

#[test]
fn a_coded_or_garbled_answer_is_refused() {
    for (answer, part) in [
        (Answer::new("200 OK", b"x").with("Content-Encoding", "gzip"), "coded as gzip"),
        (Answer::new("206 Partial Content", b"x").with("Content-Range", "bytes 0-0/9"), "a part of the file"),
        (Answer::new("2 Nonsense", b"x"), "wrong answer"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(move |_, _| answer.clone());
        let message = run(&of(&folder, &server)).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_hash_that_is_given_decides() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, request| file(request, &content(), TAG));
    let wrong = of(&folder, &server).sha256(&"0".repeat(64)).unwrap();
    let attempts = faults(&wrong);
    let Fault::Rejected { why, .. } = &attempts[0].fault else { panic!("{attempts:?}") };
    assert!(why.contains(&"0".repeat(64)) && why.ends_with("as asked for"), "{why}");
    assert!(!folder.path().join(NAME).exists() && folder.path().join(format!("{NAME}.rejected")).exists());

    let right = run(&of(&folder, &server)).unwrap().sha256;
    run(&of(&folder, &server).sha256(&right.to_uppercase()).unwrap()).unwrap();
    let message = run(&wrong).unwrap_err().to_string();
    assert!(message.contains("is there already and its SHA-256 is"), "{message}");
}

#[test]
fn a_hash_beside_the_file_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let server = Server::new(move |_, request| {
        number += 1;
        if number == 1 { file(request, &content(), TAG) } else { file(request, &fixture("maze2d.hdf5"), "\"two\"") }
    });
    run(&of(&folder, &server)).unwrap();
    fs::remove_file(folder.path().join(NAME)).unwrap();
    let message = run(&of(&folder, &server)).unwrap_err().to_string();
    assert!(message.contains("its SHA-256 is") && message.contains(&format!("{NAME}.sha256 has it")), "{message}");
    fs::write(folder.path().join(format!("{NAME}.sha256")), "nonsense").unwrap();
    let message = run(&of(&folder, &server)).unwrap_err().to_string();
    assert!(message.contains("does not begin with a SHA-256"), "{message}");
}

#[test]
fn pieces_that_do_not_fit_are_fetched_anew_once_more() {
    let mut spoilt = content();
    spoilt[..8].fill(0);
    let (_, asked) = succeeds(&content(), move |number, request| match number {
        // The same tag for other bytes.
        0 => file(request, &spoilt, TAG).cut(10_000),
        _ => file(request, &content(), TAG),
    });
    assert_eq!((asked[1].from(), asked[2].from()), (Some(10_000), None));
}

#[test]
fn two_fetches_of_one_dataset_are_one_download() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, request| {
        std::thread::sleep(Duration::from_millis(50));
        file(request, &content(), TAG)
    });
    let fetch = of(&folder, &server);
    let mut froms: Vec<Option<String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(|| run(&fetch).unwrap().url)).collect();
        running.into_iter().map(|fetch| fetch.join().unwrap()).collect()
    });
    froms.sort();
    assert_eq!(froms, [None, None, None, Some(server.url(NAME))]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn another_file_in_the_place_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, request| file(request, &content(), TAG));
    let target: PathBuf = folder.path().join(NAME);
    fs::write(&target, "mine").unwrap();
    let error = run(&of(&folder, &server)).unwrap_err();
    assert!(matches!(&error, FetchError::Occupied { path, .. } if *path == target), "{error}");
    assert!(error.to_string().contains("is not a complete HDF5 file"), "{error}");
    assert_eq!((fs::read(&target).unwrap(), server.requests().len()), (b"mine".to_vec(), 0));
}

#[test]
fn what_is_held_is_told_while_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|number, request| {
        let answer = file(request, &content(), TAG);
        if number == 0 { answer.cut(10_000) } else { answer }
    });
    let told = std::sync::Mutex::new(Vec::new());
    let note = |bytes, total, remark: &str| told.lock().unwrap().push((bytes, total, remark.to_owned()));
    of(&folder, &server).run(&note).unwrap();
    let told = told.into_inner().unwrap();
    let all = content().len() as u64;
    assert_eq!(told.first(), Some(&(0, None, server.url(NAME))));
    assert_eq!(told.last(), Some(&(all, Some(all), server.url(NAME))));
    let again = told.iter().find(|(_, _, remark)| remark.contains("again in")).unwrap();
    assert!(again.0 == 10_000 && again.2.starts_with("closed the connection after 10000 of"), "{again:?}");
    assert!(told.windows(2).all(|pair| pair[0].0 <= pair[1].0));
}

#[test]
fn what_cannot_be_fetched_is_said_before_anything_is_asked() {
    let error = |id: &str| Fetch::new(id).unwrap_err();
    assert!(error("halfcheetah-medum-v2").to_string().ends_with("did you mean 'halfcheetah-medium-v2'?"));
    let minari = error("mujoco/halfcheetah/medium-v0");
    assert!(matches!(minari, FetchError::Minari { .. }) && minari.to_string().contains("minari download mujoco/"));
    let fetch = Fetch::new(ID).unwrap();
    for url in ["ftp://a/b", "a/b", "http://", ""] {
        assert!(matches!(fetch.clone().urls([url]), Err(FetchError::Replay(Error::Invalid { .. }))), "{url}");
    }
    assert!(fetch.clone().urls::<&str>([]).is_err() && fetch.sha256("12ab").is_err());
}
