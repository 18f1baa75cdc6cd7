use super::*;
use crate::cli::expected::Origin;
use crate::cli::watch::watched::STEP;
use crate::imports::Unreadable;
use crate::pools::Names;
use clap::{Args as _, Command, FromArgMatches as _};
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

const ONE: &str = "[[pool]]\nname = \"app\"\nmembers = [{ address = \"10.0.0.1:80\" }]\n";
const TWO: &str = "[[pool]]\nname = \"web\"\nmembers = [{ address = \"10.0.0.2:80\" }]\n";

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        // What is read sooner is read again, in case it is written to in the same step of the clock.
        std::thread::sleep(2 * STEP);
        path
    }
}

/// With a pools file that says `pools` and a configuration file that names it and says `more`.
fn reloader(pools: &str, more: &str) -> (Files, Reloader) {
    let files = Files { directory: tempfile::tempdir().unwrap() };
    files.write("pools.toml", pools);
    let path = files.directory.path().join("pools.toml");
    let config = files.write("tracer.toml", &format!("pools = {path:?}\n{more}"));
    let command = Arguments::augment_args(Command::new("watch"));
    let matches = command.get_matches_from(["watch".into(), "--config".into(), config]);
    let typed = CommandLine::from_arg_matches(&matches).unwrap();
    let current = Declarations::read(&typed, Names::default(), &[]).unwrap();
    (files, Reloader::new(typed, current))
}

impl Reloader {
    /// Runs a tick and what it begins with the files, as the loop does.
    async fn news(&mut self) -> News {
        self.tick();
        self.files_read().await
    }

    /// Waits for the files only.
    async fn files_read(&mut self) -> News {
        let others = self.others.take();
        let news = self.done().await;
        self.others = self.others.take().or(others);
        news
    }

    /// What a tick tells.
    async fn told(&mut self) -> Option<PoolsChanged> {
        self.news().await.change
    }
}

fn names(names: &[crate::chronicle::PoolName]) -> Vec<&str> {
    names.iter().map(|name| name.pool.as_str()).collect()
}

#[tokio::test]
async fn a_pools_file_that_changes_is_taken_without_being_asked() {
    let (files, mut reloader) = reloader(ONE, "");
    assert!(reloader.told().await.is_none(), "nothing to read");
    files.write("pools.toml", &format!("{TWO}{ONE}"));
    let news = reloader.news().await;
    assert!(matches!(news.take, Some(Take::Declarations(pools)) if pools.len() == 2));
    let change = news.change.unwrap();
    assert_eq!((change.cause, names(&change.added)), (Cause::PoolsFile, vec!["web"]));
    assert!(change.changed.is_empty() && change.errors.is_empty());
    assert!(reloader.told().await.is_none());
}

#[tokio::test]
async fn a_pools_file_that_is_being_written_is_no_error_and_one_that_stays_broken_is_told_once() {
    let (files, mut reloader) = reloader(ONE, "");
    files.write("pools.toml", "");
    assert!(reloader.told().await.is_none(), "perhaps just being written");
    files.write("pools.toml", ONE);
    assert!(reloader.told().await.is_none(), "it was");
    files.write("pools.toml", "[[pool]]\nname = 1");
    assert!(reloader.told().await.is_none());
    let told = reloader.told().await.unwrap();
    assert!(told.errors[0].contains("pools.toml:2:8: "), "{told:?}");
    assert_eq!(told.failures, 1);
    assert!(reloader.told().await.is_none(), "once");
    assert_eq!(reloader.current.pools.len(), 1, "the old pools");
    files.write("pools.toml", ONE);
    assert!(reloader.told().await.unwrap().is_empty(), "that all is well again is told");
}

#[tokio::test]
async fn whoever_asks_for_a_reload_gets_an_answer() {
    let (files, mut reloader) = reloader(ONE, "");
    reloader.reload();
    assert!(reloader.files_read().await.change.unwrap().is_empty());
    fs::remove_file(files.directory.path().join("pools.toml")).unwrap();
    for _ in 0..2 {
        reloader.reload();
        let told = reloader.files_read().await.change.unwrap();
        assert!(told.cause == Cause::Reload && told.errors[0].contains("no such file"), "{told:?}");
    }
    assert!(reloader.told().await.is_none(), "it was told");
}

#[tokio::test]
async fn a_reload_reads_the_configuration_and_says_what_takes_a_restart() {
    let (files, mut reloader) = reloader(ONE, "port = 80\n");
    let pools = files.directory.path().join("pools.toml");
    files.write("tracer.toml", &format!("pools = {pools:?}\nport = 81\njson = true\n"));
    assert!(reloader.told().await.is_none(), "the configuration is read when asked for only");
    reloader.reload();
    let news = reloader.files_read().await;
    assert!(matches!(news.take, Some(Take::Selection(_))));
    let change = news.change.unwrap();
    assert!(change.selection && change.needs_restart == ["json"], "{change:?}");
    files.write("tracer.toml", &format!("pools = {pools:?}\nports = 81\n"));
    files.write("pools.toml", TWO);
    reloader.reload();
    let told = reloader.files_read().await.change.unwrap();
    assert!(told.errors[0].contains("tracer.toml:2:1: unknown key \"ports\""), "{told:?}");
    assert!(reloader.current.arguments.json, "as it was");
    assert!(reloader.told().await.is_some(), "the pools file was not read with it, and is now");
}

#[tokio::test]
async fn names_that_do_not_resolve_are_told_once_and_when_it_is_over() {
    let (_files, mut reloader) = reloader(ONE, "");
    let well = Declarations::clone(&reloader.current);
    let mut ill = well.clone();
    ill.problems = vec!["the host name does not resolve".to_owned()];
    let told = reloader.conclude(Cause::Names, Ok(Some(ill.clone()))).change.unwrap();
    assert_eq!((told.cause, told.failures, told.warnings.len()), (Cause::Names, 0, 1));
    assert!(reloader.conclude(Cause::Names, Ok(Some(ill))).change.is_none());
    let told = reloader.conclude(Cause::Names, Ok(Some(well))).change.unwrap();
    assert_eq!((told.errors.len(), told.warnings.len()), (0, 0));
}

#[tokio::test]
async fn a_file_that_is_included_anew_and_wrong_is_looked_at_until_it_is_right() {
    let (files, mut reloader) = reloader(ONE, "");
    let more = files.write("more.conf", "wrong");
    let origin = Origin::of("nginx", vec![more], Err(Unreadable::default()), None);
    let watched = Some(Watched::of(&[origin], SystemTime::now()));
    let unread = Unread { errors: vec!["more.conf:1:1: wrong".into()], watched };
    assert!(reloader.conclude(Cause::Configuration, Err(unread)).change.is_none());
    assert_eq!(reloader.told().await.unwrap().errors.len(), 1);
    files.write("more.conf", "is right now");
    assert!(reloader.told().await.unwrap().is_empty(), "that all is well again is told");
}

#[tokio::test]
async fn host_names_are_resolved_again_when_it_is_time() {
    let (_files, mut reloader) = reloader(&ONE.replace("10.0.0.1", "localhost"), "");
    reloader.tick();
    assert!(reloader.others.is_none());
    reloader.names_due = Instant::now();
    reloader.tick();
    assert_eq!(reloader.others.as_ref().map(|(cause, _)| *cause), Some(Cause::Names));
    while reloader.others.is_some() {
        assert!(reloader.done().await.change.is_none(), "the same addresses");
    }
}
