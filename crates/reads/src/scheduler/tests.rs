use super::*;
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { slots: 4, slots_per_project: 2, queue_per_project: 8, max_wait: Duration::from_secs(60) };

fn project(number: u8) -> Arc<str> {
    format!("p{number}").into()
}

/// Starts every query that may run, and returns their projects.
fn start(queue: &mut Queue) -> Vec<Arc<str>> {
    std::iter::from_fn(|| queue.next()).map(|(_, project)| project).collect()
}

#[test]
fn project_cannot_exceed_its_slots_or_block_others() {
    let mut queue = Queue::new(LIMITS);
    let (heavy, light) = (project(0), project(1));
    let admissions: Vec<Admission> = (0..12).map(|_| queue.admit(&heavy)).collect();
    assert_eq!(admissions.iter().filter(|admission| **admission == Admission::Run).count(), 2);
    assert_eq!(admissions.iter().filter(|admission| **admission == Admission::Reject).count(), 2);
    assert_eq!(queue.admit(&light), Admission::Run);
}

#[test]
fn free_slot_goes_to_the_project_with_fewest_then_longest_wait() {
    let mut queue = Queue::new(LIMITS);
    let (a, b, c) = (project(0), project(1), project(2));
    for project in [&a, &a, &b, &b, &a, &b, &c] {
        queue.admit(project);
    }
    queue.release(&a);
    assert_eq!(start(&mut queue), [c], "it has no running query");
    queue.release(&b);
    // Both have one running query; `a` has waited longer.
    assert_eq!(start(&mut queue), [a]);
}

proptest! {
    #[test]
    fn limits_hold_and_no_usable_slot_stays_free(
        events in prop::collection::vec((0u8..5, 0u8..3, any::<prop::sample::Index>()), 0..300),
    ) {
        let mut queue = Queue::new(LIMITS);
        let mut running: Vec<Arc<str>> = Vec::new();
        for (number, event, which) in events {
            match event {
                0 if !running.is_empty() => {
                    queue.release(&running.swap_remove(which.index(running.len())));
                    running.extend(start(&mut queue));
                }
                1 if !queue.waiting.is_empty() => {
                    let (ticket, _) = queue.waiting[which.index(queue.waiting.len())];
                    queue.cancel(ticket);
                }
                _ => if queue.admit(&project(number)) == Admission::Run {
                    running.push(project(number));
                },
            }
            prop_assert!(running.len() <= LIMITS.slots);
            prop_assert_eq!(queue.running.values().sum::<usize>(), running.len());
            for number in 0..5 {
                let project = project(number);
                prop_assert!(running.iter().filter(|running| **running == project).count() <= LIMITS.slots_per_project);
                prop_assert!(queue.waiting.iter().filter(|(_, waiting)| *waiting == project).count() <= LIMITS.queue_per_project);
            }
            prop_assert!(queue.next().is_none());
        }
        // Releasing every slot drains the queue.
        while let Some(project) = running.pop() {
            queue.release(&project);
            running.extend(start(&mut queue));
        }
        prop_assert!(queue.waiting.is_empty() && queue.running.is_empty());
    }
}

#[tokio::test]
async fn slot_of_a_cancelled_query_goes_to_the_next() {
    let scheduler = Scheduler::new(Limits { slots: 1, slots_per_project: 1, ..LIMITS });
    let first = scheduler.acquire("a").await.expect("a free slot");
    let mut cancelled = Box::pin(scheduler.acquire("b"));
    let mut next = Box::pin(scheduler.acquire("c"));
    assert!(futures::poll!(&mut cancelled).is_pending() && futures::poll!(&mut next).is_pending());
    drop(first);
    // `b` was sent the slot and is dropped before it receives it.
    drop(cancelled);
    let slot = next.await.expect("a free slot");
    drop(slot);
    assert!(scheduler.acquire("d").await.is_ok());
}

#[tokio::test]
async fn query_that_waits_too_long_fails_and_leaves_the_queue() {
    let max_wait = Duration::from_millis(10);
    let scheduler = Scheduler::new(Limits { slots: 1, slots_per_project: 1, max_wait, ..LIMITS });
    let slot = scheduler.acquire("a").await.expect("a free slot");
    assert_eq!(scheduler.acquire("a").await.map(|_| ()), Err(Error::TooManyQueries));
    drop(slot);
    assert!(scheduler.acquire("a").await.is_ok());
}
