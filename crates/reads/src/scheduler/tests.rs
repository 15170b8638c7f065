use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { places: 4, share: 2, line: 8, patience: Duration::from_secs(60) };

fn project(number: u8) -> Arc<str> {
    format!("p{number}").into()
}

/// Calls who may run, and notes whose it was.
fn call(queue: &mut Queue) -> Vec<Arc<str>> {
    std::iter::from_fn(|| queue.next()).map(|(_, project)| project).collect()
}

#[test]
fn one_project_never_has_more_than_its_share_and_another_finds_a_place() {
    let mut queue = Queue::new(LIMITS);
    let (heavy, light) = (project(0), project(1));
    let verdicts: Vec<Verdict> = (0..12).map(|_| queue.ask(&heavy)).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Now).count(), 2);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Refused).count(), 2);
    assert_eq!(queue.ask(&light), Verdict::Now);
}

#[test]
fn a_free_place_goes_to_who_has_the_fewest_and_then_to_who_waited_longest() {
    let mut queue = Queue::new(LIMITS);
    let (a, b, c) = (project(0), project(1), project(2));
    for project in [&a, &a, &b, &b, &a, &b, &c] {
        queue.ask(project);
    }
    queue.leave(&a);
    assert_eq!(call(&mut queue), [c], "it has none, the others have some");
    queue.leave(&b);
    // Both have one; `a` waited longer.
    assert_eq!(call(&mut queue), [a]);
}

proptest! {
    #[test]
    fn whatever_happens_the_limits_hold_and_no_place_stays_empty_that_somebody_may_have(
        events in prop::collection::vec((0u8..5, 0u8..3, any::<prop::sample::Index>()), 0..300),
    ) {
        let mut queue = Queue::new(LIMITS);
        let mut running: Vec<Arc<str>> = Vec::new();
        for (number, what, which) in events {
            match what {
                0 if !running.is_empty() => {
                    queue.leave(&running.swap_remove(which.index(running.len())));
                    running.extend(call(&mut queue));
                }
                1 if !queue.waiting.is_empty() => {
                    let (ticket, _) = queue.waiting[which.index(queue.waiting.len())];
                    queue.give_up(ticket);
                }
                _ => if queue.ask(&project(number)) == Verdict::Now {
                    running.push(project(number));
                },
            }
            prop_assert!(running.len() <= LIMITS.places);
            prop_assert_eq!(queue.running.values().sum::<usize>(), running.len());
            for number in 0..5 {
                let project = project(number);
                prop_assert!(running.iter().filter(|running| **running == project).count() <= LIMITS.share);
                prop_assert!(queue.waiting.iter().filter(|(_, waiting)| *waiting == project).count() <= LIMITS.line);
            }
            prop_assert!(queue.next().is_none());
        }
        // In the end all places come back.
        while let Some(project) = running.pop() {
            queue.leave(&project);
            running.extend(call(&mut queue));
        }
        prop_assert!(queue.waiting.is_empty() && queue.running.is_empty());
    }
}

#[tokio::test]
async fn the_place_of_one_who_leaves_the_line_or_the_query_goes_to_the_next() {
    let scheduler = Scheduler::new(Limits { places: 1, share: 1, ..LIMITS });
    let first = scheduler.enter("a").await.expect("it is free");
    let mut gone = Box::pin(scheduler.enter("b"));
    let mut next = Box::pin(scheduler.enter("c"));
    assert!(futures::poll!(&mut gone).is_pending() && futures::poll!(&mut next).is_pending());
    drop(first);
    // `b` was called and is gone before it could hear it.
    drop(gone);
    let place = next.await.expect("it is free");
    drop(place);
    assert!(scheduler.enter("d").await.is_ok());
}

#[tokio::test]
async fn who_waited_too_long_is_refused_and_no_longer_in_the_way() {
    let patience = Duration::from_millis(10);
    let scheduler = Scheduler::new(Limits { places: 1, share: 1, patience, ..LIMITS });
    let place = scheduler.enter("a").await.expect("it is free");
    assert_eq!(scheduler.enter("a").await.map(|_| ()), Err(Error::TooManyQueries));
    drop(place);
    assert!(scheduler.enter("a").await.is_ok());
}
