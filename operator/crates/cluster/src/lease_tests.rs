use std::sync::Mutex;

use tokio::time::{Instant, sleep};

use super::*;
use crate::fake::{Reply, clients, status};

/// A Lease in memory that checks resource versions, and can be made to fail.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    down: bool,
}

type Shared = Arc<Mutex<Server>>;

fn serve(server: &Shared) -> Clients {
    let server = server.clone();
    let (clients, _) = clients(move |seen| {
        let mut server = server.lock().unwrap();
        if server.down {
            return status(500, "etcd is away", "", "");
        }
        match (seen.method.as_str(), server.lease.clone()) {
            ("GET", Some(lease)) => Reply::Json(200, lease),
            ("GET", None) => status(404, "not found", "tidegate", "leases"),
            ("POST", Some(_)) => status(409, "exists", "tidegate", "leases"),
            (_, lease) => {
                let version = &seen.body["metadata"]["resourceVersion"];
                if lease.is_some_and(|l| l["metadata"]["resourceVersion"] != *version) {
                    return status(409, "conflict", "tidegate", "leases");
                }
                server.version += 1;
                let mut lease = seen.body.clone();
                lease["metadata"]["resourceVersion"] = server.version.to_string().into();
                server.lease = Some(lease.clone());
                Reply::Json(200, lease)
            }
        }
    });
    clients
}

fn election(server: &Shared, identity: &str) -> Election {
    let start = Instant::now();
    let clock = Arc::new(move || Duration::from_secs(1) + start.elapsed());
    Election::with_clock(serve(server), LeaseSettings::new("ops", identity), clock)
}

fn holder(server: &Shared) -> String {
    let server = server.lock().unwrap();
    let spec = &server.lease.as_ref().unwrap()["spec"];
    spec["holderIdentity"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn one_of_two_holds_it_and_the_other_follows_a_release() {
    let server = Shared::default();
    let (first, second) = (election(&server, "a"), election(&server, "b"));
    let (guard_a, guard_b) = (first.guard(), second.guard());
    let (stop_a, stop_b) = (CancellationToken::new(), CancellationToken::new());
    let run_a = tokio::spawn(first.run(stop_a.clone()));
    sleep(Duration::from_millis(100)).await;
    tokio::spawn(second.run(stop_b.clone()));
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert!(guard_a.may_write() && !guard_b.may_write());
    }
    assert!(*guard_a.leadership().borrow());
    stop_a.cancel();
    run_a.await.unwrap();
    assert!(!guard_a.may_write());
    sleep(Duration::from_secs(3)).await;
    assert!(guard_b.may_write(), "a released lease is taken at the next look");
    assert_eq!(holder(&server), "b");
    let lease = server.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_another_may_take_over() {
    let server = Shared::default();
    let first = election(&server, "a");
    let guard = first.guard();
    tokio::spawn(first.run(CancellationToken::new()));
    sleep(Duration::from_millis(100)).await;
    assert!(guard.may_write());
    server.lock().unwrap().down = true;
    sleep(Duration::from_millis(9_500)).await;
    assert!(guard.may_write());
    let left = guard.left();
    assert!(
        left < Duration::from_secs(6) && left > Duration::from_secs(5),
        "{left:?}"
    );
    sleep(Duration::from_millis(600)).await;
    assert!(!guard.may_write(), "two thirds of 15 s are over");
    sleep(Duration::from_secs(3)).await;
    assert!(!*guard.leadership().borrow());
    server.lock().unwrap().down = false;
    sleep(Duration::from_secs(3)).await;
    assert!(
        guard.may_write(),
        "its own lease is renewed when the server is back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_replaced_after_its_lease_and_never_earlier() {
    let server = Shared::default();
    let first = election(&server, "a");
    let dead = tokio::spawn(first.run(CancellationToken::new()));
    sleep(Duration::from_millis(100)).await;
    dead.abort();
    let second = election(&server, "b");
    let guard = second.guard();
    tokio::spawn(second.run(CancellationToken::new()));
    sleep(Duration::from_secs(14)).await;
    assert!(!guard.may_write());
    sleep(Duration::from_secs(5)).await;
    assert!(guard.may_write());
}

/// The lease as another process would hold or leave it.
fn take(server: &Shared, by: &str) {
    let mut server = server.lock().unwrap();
    server.version += 1;
    let version = server.version.to_string();
    let lease = server.lease.as_mut().unwrap();
    lease["spec"]["holderIdentity"] = by.into();
    lease["metadata"]["resourceVersion"] = version.into();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_lost_its_lease_to_another_never_leads_again() {
    // Held by the other now, or held and given back while this one did not look.
    for by in ["b", ""] {
        let server = Shared::default();
        let first = election(&server, "a");
        let guard = first.guard();
        let run = tokio::spawn(first.run(CancellationToken::new()));
        sleep(Duration::from_millis(100)).await;
        assert!(guard.may_write());
        take(&server, by);
        let ended = tokio::time::timeout(Duration::from_secs(30), run).await.unwrap();
        assert_eq!(ended.unwrap(), Ended::Taken { by: by.to_owned() });
        assert!(!guard.may_write() && !*guard.leadership().borrow());
        assert_eq!(holder(&server), by);
    }
}

#[tokio::test]
async fn a_mutation_without_the_lease_is_not_sent() {
    let (clients, log) = clients(|_| Reply::Json(200, Value::Null));
    let guard = LeaseGuard::new(Duration::from_secs(15), Arc::new(since_boot));
    let call = Call::mutate("delete", Method::DELETE, "ConfigMap", "/x".to_owned(), &guard);
    let error = clients.call(&call).await.err().unwrap();
    assert_eq!(error.reason(), "NotLeader");
    assert!(log.lock().unwrap().is_empty());
    assert!(LeaseGuard::alone().may_write());
    assert!(since_boot() > Duration::ZERO);
}
