//! What is said of evidence that is made up.

use super::{
    super::made::{counted, errors, fault, flat, reading, truths},
    *,
};

/// That just these are found, by a part of each.
#[track_caller]
fn finds(evidence: &Evidence, parts: &[&str]) {
    let found = problems(evidence);
    let all =
        found.len() == parts.len() && found.iter().zip(parts).all(|(problem, part)| problem.contains(part));
    assert!(all, "{parts:?}: {found:#?}");
}

#[test]
fn what_is_flat_and_whole_has_no_problem() {
    finds(&flat(), &[]);
}

#[test]
fn what_is_lost_and_what_is_doubled_is_named() {
    finds(
        &Evidence { counted: counted(6, 2), ..flat() },
        &["6 established, not 7", "6 closed", "8 attempts"],
    );
    let parts = ["10 attempts, not 9", "3 failed, not 2", "3 refused, not 2"];
    finds(&Evidence { counted: counted(7, 3), ..flat() }, &parts);
    assert_eq!(lost_and_doubled(&truths(7, 2), &counted(6, 4)), (1, 2));
    assert_eq!(lost_and_doubled(&truths(7, 2), &BTreeMap::new()), (9, 0));
    finds(
        &Evidence { counted: BTreeMap::new(), ..flat() },
        &["0 established", "0 closed", "0 attempts", "0 failed", "2 refusals are not known"],
    );
}

#[test]
fn of_a_refusal_that_the_kernel_hid_the_cause_may_be_unknown() {
    let mut found = counted(7, 2);
    found.values_mut().for_each(|of| (of.refused, of.failed_otherwise) = (1, 1));
    let evidence = Evidence { counted: found, ..flat() };
    finds(&evidence, &["1 refusals are not known as such, and 0 events were hidden"]);
    let hidden = Errors::from([(MADE_UP_FOR.to_owned(), 1)]);
    finds(&Evidence { at_last: hidden, ..evidence.clone() }, &[]);
    assert_eq!(lost_and_doubled(&evidence.truths, &evidence.counted), (0, 0));
}

#[test]
fn what_stays_wrong_is_told_with_the_first_fault_and_in_the_end() {
    let wrong = || Made { counted: counted(5, 1), ..fault() };
    let evidence = Evidence { faults: vec![wrong(), wrong()], ..flat() };
    finds(&evidence, &["5 established, not 4", "5 closed, not 4", "6 attempts, not 5"]);
}

#[test]
fn what_a_fault_did_is_named_with_it() {
    let wrong = Made { problems: vec!["it said nothing".to_owned()], counted: counted(5, 1), ..fault() };
    let evidence = Evidence { faults: vec![wrong], ..flat() };
    let at = "agent stopped (SIGSTOP), goes on (SIGCONT) after 60 s: ";
    let parts = ["it said nothing", "127.0.0.1:80: 5 established, not 4"].map(|part| format!("{at}{part}"));
    finds(&evidence, &[&parts[0], &parts[1], "5 closed, not 4", "6 attempts, not 5"]);
}

#[test]
fn a_tick_may_be_late_in_a_fault_and_not_outside() {
    let mut evidence = flat();
    // Begins in the fault.
    evidence.ticks[111] = Tick { at: 111.0, seconds: 9.0 };
    finds(&evidence, &[]);
    for second in 10..13 {
        evidence.ticks[second].seconds = 1.3;
    }
    finds(&evidence, &["3 of 188 ticks were late"]);
}

#[test]
fn figures_may_grow_in_a_fault_and_not_outside() {
    let grew = Made { errors: (errors(0), errors(3)), ..fault() };
    let evidence = Evidence { faults: vec![grew], at_last: errors(3), ..flat() };
    finds(&evidence, &[]);
    finds(&Evidence { at_last: errors(4), ..evidence.clone() }, &["uncounted.memory grew from 3 to 4"]);
    // What is of one process alone begins anew with the next.
    finds(&Evidence { at_last: errors(0), ..evidence }, &[]);
    let hidden = Errors::from([(MADE_UP_FOR.to_owned(), 9)]);
    finds(&Evidence { at_last: hidden, ..flat() }, &[]);
}

#[test]
fn each_agent_is_judged_by_itself_and_without_what_disturbs_it() {
    let mut evidence = flat();
    evidence.lives.push(evidence.lives[0].clone());
    // Another one may be larger, and too few looks say nothing.
    evidence.readings.extend(vec![reading(2, 30_000, 90); 8]);
    finds(&evidence, &[]);
    assert_eq!(flatness(&evidence, 2), None);
    let disturbed = Reading { disturbed: true, ..reading(1, 90_000, 90) };
    evidence.readings.extend(vec![disturbed; 9]);
    finds(&evidence, &[]);
    evidence.readings.extend(vec![reading(1, 12_000, 21); 6]);
    finds(&evidence, &["agent 1: memory grew from 9000 to 12000", "agent 1: descriptors grew from 20 to 21"]);
    evidence.readings.retain(|reading| reading.agent == 2);
    finds(&evidence, &["too short to judge the memory"]);
}

#[test]
fn what_it_takes_of_a_processor_is_judged_at_one_rate() {
    let mut evidence = flat();
    evidence.readings.iter_mut().for_each(|reading| reading.processor = 0.02);
    finds(&evidence, &["2.00 % of a processor"]);
    evidence.readings.iter_mut().for_each(|reading| reading.rate = Some(2_000));
    finds(&evidence, &["too short to see 1,000 connections/s"]);
    evidence.readings[0] = Reading { programs: Some(0.004), ..reading(1, 9_000, 20) };
    finds(&evidence, &[]);
    assert!((at_thousand(&evidence.readings).unwrap() - 0.009).abs() < 1e-9);
}
