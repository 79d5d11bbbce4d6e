//! Blocking threads with a bounded queue. Owns threads and cancellation; knows nothing of git. libgit2 and the
//! transports block, so they never run on the async runtime's threads.

use crate::Error;
use crate::cancel::{Cancel, CancelOnDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Workers {
    sender: Sender<Job>,
    queue: Arc<Semaphore>,
}

impl Workers {
    /// Starts `threads` threads that end when the last handle is dropped. At most `queue` jobs wait or run; further
    /// callers wait as futures, in order.
    pub(crate) fn start(name: &str, threads: usize, queue: usize) -> Result<Self, Error> {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads.max(1) {
            let receiver = receiver.clone();
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || work(&receiver))
                .map_err(|error| Error::Storage {
                    why: format!("no thread for the git room: {error}"),
                })?;
        }
        Ok(Self {
            sender,
            queue: Arc::new(Semaphore::new(queue.max(1))),
        })
    }

    /// Runs `task` on a thread. Dropping the future raises the flag that `task` gets; `held` (locks, permits) is kept
    /// until the task has really ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        url: &str,
        held: impl Send + 'static,
        task: impl FnOnce(&Arc<Cancel>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cancelled = || Error::Cancelled { url: url.to_owned() };
        let permit = self
            .queue
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| cancelled())?;
        let cancel = Arc::new(Cancel::default());
        let mut guard = CancelOnDrop(Some(cancel.clone()));
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            // A job whose caller left while it was queued is not even started.
            let outcome = (!cancel.is_raised()).then(|| catch_unwind(AssertUnwindSafe(|| task(&cancel))));
            drop((held, permit));
            match outcome {
                Some(Ok(result)) => drop(reply.send(result)),
                Some(Err(_)) => drop(reply.send(Err(Error::Bug {
                    why: "a git worker panicked".to_owned(),
                }))),
                None => {}
            }
        });
        self.sender.send(job).map_err(|_| cancelled())?;
        let result = answer.await.map_err(|_| cancelled())?;
        guard.0 = None;
        result
    }
}

fn work(receiver: &Mutex<Receiver<Job>>) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn a_panic_costs_the_job_not_the_thread() {
        let workers = Workers::start("t", 1, 4).unwrap();
        let dead: Result<(), _> = workers.run("u", (), |_| panic!("boom")).await;
        assert_eq!(dead.unwrap_err().reason(), "InternalError");
        assert_eq!(workers.run("u", (), |_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_dropped_future_raises_the_flag_and_a_queued_one_never_runs() {
        let workers = Arc::new(Workers::start("t", 1, 4).unwrap());
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let endless = workers.run("u", (), move |cancel| {
            count.fetch_add(1, Ordering::SeqCst);
            while !cancel.is_raised() {
                thread::sleep(Duration::from_millis(5));
            }
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let count = runs.clone();
        let queued = workers.run("u", (), move |_| {
            count.fetch_add(100, Ordering::SeqCst);
            Ok(())
        });
        let both = async { tokio::join!(endless, queued) };
        assert!(
            tokio::time::timeout(Duration::from_millis(100), both)
                .await
                .is_err()
        );
        workers.run("u", (), |_| Ok(())).await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
