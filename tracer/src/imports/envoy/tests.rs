//! The importer as a whole, on fixtures and on texts that are wrong.

use super::*;
use crate::imports::fixtures::{compare, compare_table};
use crate::imports::reading::tests::Invented;
use std::path::PathBuf;

fn main_file(case: &Path) -> PathBuf {
    let json = case.join("envoy.json");
    if json.exists() { json } else { case.join("envoy.yaml") }
}

#[test]
fn every_fixture_gives_the_pools_and_problems_that_are_written_beside_it() {
    compare("envoy", |case| import(&main_file(case), &mut crate::imports::HostSurroundings));
}

#[test]
fn the_table_is_the_page_and_every_field_in_it_stands_in_its_fixture() {
    compare_table("envoy", DIRECTIVES);
}
