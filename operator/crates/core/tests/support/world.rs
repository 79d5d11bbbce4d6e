//! Leaders, people and late requests on one server, and what must hold when everything has come to rest.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use tidegate_api::application::{Adopt, Drift};
use tidegate_core::desired::{PruneRule, Rendered};
use tidegate_core::differences::Explained;
use tidegate_core::fights::Fights;
use tidegate_core::ignore::Scaled;
use tidegate_core::object::ObjectId;
use tidegate_core::status::{Notes, observe};

use super::leader::Leader;
use super::server::{Answer, Holder, Request, Server, uid};
use super::{IDENTITIES, id};

/// More calls than any reconcile of this world needs.
const CALLS: usize = 2_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// One call of one leader is served and answered.
    Call(u8, u8),
    /// A person or another Application does something to an object.
    Somebody(u8, u8),
    /// The leader dies. Each of its calls in flight arrives at once or never, as the bits say.
    Crash(u8),
    /// One late request arrives.
    Arrive(u8),
}

/// Events, with mostly calls among them.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (any::<u8>(), any::<u8>()).prop_map(|(leader, slot)| Event::Call(leader, slot)),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(what, on)| Event::Somebody(what, on)),
        1 => any::<u8>().prop_map(Event::Crash),
        1 => any::<u8>().prop_map(Event::Arrive),
    ];
    prop::collection::vec(event, 0..90)
}

/// Every `spec.adopt`.
pub(crate) fn adopt() -> impl Strategy<Value = Adopt> {
    prop::sample::select(vec![Adopt::Never, Adopt::IfUnowned, Adopt::Always])
}

/// Everything there is.
pub(crate) struct World {
    /// The API server.
    pub(crate) server: Server,
    /// Those that believe to lead.
    pub(crate) leaders: Vec<Leader>,
    /// Requests that were sent by a leader which is gone, and have not arrived.
    pub(crate) late: Vec<Request>,
    /// Objects that leaders before these left running on purpose.
    kept: Vec<ObjectId>,
    adopt: Adopt,
}

impl World {
    /// The first commit, applied as a whole by a leader that goes on with the second.
    pub(crate) fn new(adopt: Adopt, commits: &[Arc<Rendered>]) -> Self {
        let mut server = Server::new(adopt);
        for object in commits.iter().flat_map(|commit| &commit.objects) {
            let protected = &*object.id.kind == "Namespace" && object.prune != PruneRule::Enabled;
            if !protected && object.prune != PruneRule::Disabled {
                server.prunable.insert(object.id.clone());
            }
        }
        let mut world = Self {
            server,
            leaders: vec![Leader::new(commits[0].clone(), adopt)],
            late: Vec::new(),
            kept: Vec::new(),
            adopt,
        };
        world.settle();
        world.leaders[0].commit = commits[1].clone();
        world
    }

    /// A further leader starts.
    pub(crate) fn start(&mut self, commit: &Arc<Rendered>) {
        self.leaders.push(Leader::new(commit.clone(), self.adopt));
    }

    /// The first leader goes. Mutations that it had sent are on their way.
    pub(crate) fn retire(&mut self) -> Vec<Request> {
        let leader = self.leaders.remove(0);
        let mutates = |r: &Request| {
            matches!(
                r,
                Request::Apply(..) | Request::Delete(..) | Request::WriteInventory(..)
            )
        };
        let sent = leader.requests().into_iter().filter(mutates).collect();
        self.kept.extend(leader.kept);
        sent
    }

    /// The first leader goes, and what it had sent arrives some time later.
    pub(crate) fn retire_late(&mut self) {
        self.late = self.retire();
    }

    /// Serves one call of a leader.
    pub(crate) fn call(&mut self, leader: u8, slot: u8) {
        let count = self.leaders.len();
        let leader = &mut self.leaders[usize::from(leader) % count];
        let mut requests = leader.requests();
        let slot = usize::from(slot) % requests.len();
        let answer = self.server.serve(requests.swap_remove(slot));
        leader.answer(slot, answer);
    }

    /// One late request arrives; nobody hears the answer.
    pub(crate) fn arrive(&mut self, which: u8) {
        if !self.late.is_empty() {
            let which = usize::from(which) % self.late.len();
            let _unheard: Answer = self.server.serve(self.late.remove(which));
        }
    }

    /// People and other Applications.
    pub(crate) fn somebody(&mut self, what: u8, on: u8) {
        let id = id(on);
        match what % 10 {
            0 => self.server.somebody_creates(&id, Holder::Person),
            1 => self.server.somebody_creates(&id, Holder::Other),
            2 => self.server.somebody_creates(&id, Holder::Gone),
            3 | 4 => self.server.somebody_edits(&id),
            5 => self.server.somebody_deletes(&id),
            6 => {
                self.server.somebody_deletes(&id);
                self.server.somebody_creates(&id, Holder::Other);
            }
            7 => self.server.somebody_holds(&id),
            8 => self.server.somebody_lets_go(&id),
            _ => self.server.other_adopts(&id),
        }
    }

    /// The last leader reconciles until it has nothing to do. False when it does not come to that.
    fn settle(&mut self) -> bool {
        let last = self.leaders.len() - 1;
        self.leaders[last].quiet = false;
        for _ in 0..CALLS {
            self.call(u8::try_from(last).unwrap(), 0);
            if self.leaders[last].quiet {
                return true;
            }
        }
        false
    }

    /// People take out of the way what cannot be taken over, finalizers end, and the last leader reconciles once more.
    /// Then what runs is what its commit says, and the inventory tells the truth.
    pub(crate) fn comes_to_rest(&mut self) -> Result<(), TestCaseError> {
        let commit = self.leaders.last().unwrap().commit.clone();
        for number in 0..IDENTITIES {
            let id = id(number);
            self.server.somebody_lets_go(&id);
            let free = self
                .server
                .holder(&id)
                .is_none_or(|holder| self.server.may_take(holder));
            if !free && commit.get(&id).is_some() {
                self.server.somebody_deletes(&id);
            }
        }
        prop_assert!(self.settle(), "it never comes to rest");
        prop_assert!(self.server.faults.is_empty(), "{:?}", self.server.faults);
        let inventory = self.server.inventory();
        for object in &commit.objects {
            let live = self.server.objects.get(&object.id);
            prop_assert!(live.is_some(), "{} is missing", object.id);
            let live = live.unwrap();
            prop_assert_eq!(
                &live["data"],
                &object.body["data"],
                "{} is not as git says",
                object.id
            );
            prop_assert_eq!(self.server.holder(&object.id), Some(Holder::Ours));
            let sealed = inventory
                .entries
                .get(&object.id)
                .and_then(|entry| entry.sealed.as_ref());
            prop_assert_eq!(
                sealed.map(|s| s.uid.clone()),
                Some(uid(live)),
                "{} is not recorded",
                object.id
            );
        }
        prop_assert_eq!(
            inventory.entries.len(),
            commit.objects.len(),
            "it records what git does not have"
        );
        let notes = Notes {
            drift: &Drift::default(),
            fights: &Fights::default(),
            explained: &Explained::default(),
            scaled: &Scaled::new(),
        };
        let seen = observe(&inventory, &self.server.live(), &notes, Timestamp::UNIX_EPOCH);
        prop_assert!(seen.drifted.is_empty(), "{:?}", seen.drifted);
        self.start(&commit);
        let before = self.server.objects.clone();
        prop_assert!(self.settle(), "a restart never comes to rest");
        prop_assert_eq!(&before, &self.server.objects, "a restart changes something");
        Ok(())
    }

    /// Objects of ours that neither git nor the inventory have, and that no plan left running on purpose.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let inventory = self.server.inventory();
        let kept = |id| self.kept.contains(id) || self.leaders.iter().any(|leader| leader.kept.contains(id));
        let ours = |id| self.server.holder(id) == Some(Holder::Ours);
        let all = self.server.objects.iter();
        all.filter(|(id, _)| ours(id) && !inventory.entries.contains_key(id) && !kept(id))
            .map(|(_, live)| uid(live))
            .collect()
    }
}
