//! Work done ahead of its use. In: how many items there are and what makes one. Out: the items in their order, each while the next ones are
//! made; a bounded number of them waits. What fails is handed over in its place and ends it all, as does a panic.

use std::sync::mpsc;
use std::thread;

use crate::{Error, Result};

/// Items that each thread may have made before they are taken.
const AHEAD: usize = 1;

/// Makes items 0 to `count` on `threads` threads of their own and hands each to `take` on this one; of one thread, this one makes them itself.
pub fn in_order<T: Send>(
    threads: usize,
    count: usize,
    make: impl Fn(usize) -> Result<T> + Sync,
    mut take: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let (threads, make) = (threads.min(count), &make);
    if threads <= 1 {
        return (0..count).try_for_each(|i| take(i, make(i)?));
    }
    thread::scope(|scope| {
        let mut lanes = Vec::with_capacity(threads);
        for first in 0..threads {
            let (send, made) = mpsc::sync_channel(AHEAD);
            let lane = move || {
                for i in (first..count).step_by(threads) {
                    let item = make(i);
                    let last = item.is_err();
                    // nobody takes any more once the other end is gone
                    if send.send(item).is_err() || last {
                        return;
                    }
                }
            };
            let started = thread::Builder::new().name(format!("histoloom-ahead-{first}")).spawn_scoped(scope, lane);
            let lane = started.map_err(|_| Error::Memory { what: "the stack of a thread that reads ahead".into(), bytes: 2 << 20 })?;
            lanes.push((made, lane));
        }
        for i in 0..count {
            match lanes[i % threads].0.recv() {
                Ok(item) => take(i, item?)?,
                Err(_) => {
                    let panic = lanes.swap_remove(i % threads).1.join().err();
                    std::panic::resume_unwind(panic.unwrap_or_else(|| Box::new("a thread that reads ahead ended early")));
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn items_come_in_order_and_no_more_than_a_few_ahead() {
        for threads in [1, 2, 3, 7] {
            let (made, mut taken) = (AtomicUsize::new(0), Vec::new());
            let make = |i: usize| {
                made.fetch_add(1, Ordering::SeqCst);
                Ok(i * i)
            };
            in_order(threads, 40, make, |i, item| {
                thread::sleep(Duration::from_millis(1));
                // those waiting, and one in the hands of each thread
                let most = i + 1 + threads * (AHEAD + 1);
                assert!(made.load(Ordering::SeqCst) <= most, "{threads} threads, item {i}");
                taken.push(item);
                Ok(())
            })
            .unwrap();
            assert_eq!(taken, (0..40).map(|i| i * i).collect::<Vec<_>>());
        }
        in_order(4, 0, |_| Ok(()), |_, ()| panic!("there is nothing to take")).unwrap();
    }

    #[test]
    fn the_next_items_are_made_while_one_is_in_use() {
        let (tell, told) = mpsc::sync_channel(64);
        let make = |i: usize| tell.send(i).map_err(|_| Error::internal("nobody listens"));
        let mut newest = 0;
        in_order(2, 3, make, |i, ()| {
            while i < 2 && newest <= i {
                newest = newest.max(told.recv_timeout(Duration::from_secs(20)).expect("the next one is made meanwhile"));
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_fails_is_told_after_what_came_before_it_and_ends_all() {
        let made = AtomicUsize::new(0);
        let make = |i: usize| {
            made.fetch_add(1, Ordering::SeqCst);
            if i == 5 { Err(Error::Cancelled) } else { Ok(i) }
        };
        let mut taken = Vec::new();
        let out = in_order(2, 1000, make, |_, item| {
            taken.push(item);
            Ok(())
        });
        assert!(matches!(out, Err(Error::Cancelled)) && taken == [0, 1, 2, 3, 4], "{taken:?}");
        assert!(made.load(Ordering::SeqCst) < 20);
        let out = in_order(2, 1000, Ok, |i, _| if i == 3 { Err(Error::internal("enough")) } else { Ok(()) });
        assert!(out.unwrap_err().to_string().contains("enough"));
    }

    #[test]
    fn a_panic_reaches_the_caller_as_it_is() {
        let run = || in_order(2, 9, |i| if i == 4 { panic!("item four") } else { Ok(i) }, |_, _| Ok(()));
        let panic = std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"item four"));
    }
}
