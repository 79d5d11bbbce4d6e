//! The Releases of an Application beside the one that ends: what it is sealed after, and what is trimmed for it.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_api::release::Phase;
use tidegate_api::{Application, Release};
use tidegate_core::record;
use tidegate_core::seal::{self, Head};

use crate::application::release::{Open, is_final};
use crate::application::sets;
use crate::state::Operator;
use crate::store::Key;

/// The Releases of an Application, but for the one that ends.
pub(super) struct History {
    others: Vec<Release>,
    head: Head,
    limit: usize,
}

impl History {
    /// Of what was listed just before `ending` ends.
    pub(super) fn of(listed: &[Release], app: &Application, ending: &Open) -> Self {
        let other = |r: &&Release| r.metadata.name.as_ref() != Some(&ending.name);
        let others: Vec<Release> = listed.iter().filter(other).cloned().collect();
        Self {
            head: seal::head(&others),
            others,
            limit: usize::try_from(app.spec.history_limit).unwrap_or(20),
        }
    }

    fn finished(&self) -> impl Iterator<Item = &Release> {
        self.others.iter().filter(|r| is_final(r))
    }

    /// Seals the Release that ends, and signs it.
    pub(super) fn seal(&self, operator: &Operator, key: &Key, ending: &mut Open) -> Result<(), String> {
        let own = ending.spec.sequence;
        let mut numbers: Vec<i64> = self.finished().map(|r| r.spec.sequence).collect();
        numbers.push(own);
        let kept_from = seal::kept_from(numbers, self.limit, own, &self.head);
        let status = &mut ending.status;
        seal::seal(
            &key.namespace,
            &ending.name,
            &ending.spec,
            status,
            &self.head,
            kept_from,
        )?;
        status.signature = status
            .digest
            .as_deref()
            .map(|digest| operator.record_key.sign(digest));
        Ok(())
    }

    /// Deletes what is beyond the history, once the Release has ended.
    pub(super) async fn prune(
        &self,
        operator: &Operator,
        key: &Key,
        app: &Application,
        ended: &Open,
    ) -> Result<(), String> {
        let named = |r: &Release| Some((r.spec.sequence, r.metadata.name.clone()?));
        let mut numbered: Vec<(i64, String)> = self.finished().filter_map(named).collect();
        numbered.push((ended.spec.sequence, ended.name.clone()));
        let status = app.status.as_ref();
        let good = status
            .and_then(|s| s.last_good_release.as_deref())
            .unwrap_or_default();
        let current = status
            .and_then(|s| s.current_release.as_deref())
            .unwrap_or_default();
        let back = status
            .and_then(|s| s.rolled_back.as_ref())
            .map(|back| back.to.as_str());
        let restored = ended.spec.restores.as_deref();
        let keep = [
            good,
            current,
            &ended.name,
            back.unwrap_or_default(),
            restored.unwrap_or_default(),
        ];
        let mut left: BTreeMap<&str, &Release> = BTreeMap::new();
        let others = self.others.iter();
        left.extend(others.filter_map(|r| Some((r.metadata.name.as_deref()?, r))));
        for name in record::beyond_history(numbered, self.limit, &keep) {
            let found = left.remove(name.as_str());
            let uid = found.and_then(|r| r.metadata.uid.as_deref());
            operator
                .delete_release(&key.namespace, &name, uid.unwrap_or_default())
                .await?;
        }
        let kept = left
            .into_iter()
            .filter(|(_, r)| keeps_set(r))
            .map(|(name, _)| name);
        let mut kept: BTreeSet<String> = kept.map(str::to_owned).collect();
        kept.extend(keep.map(str::to_owned));
        let pruned = sets::prune(operator, key, app, &kept).await;
        pruned.map_err(|trouble| format!("kept sets: {}", trouble.message))
    }
}

/// A release that did not end well is not what anybody goes back to. The newest one, and the one that runs, keep theirs
/// all the same: what is in the cluster is theirs.
fn keeps_set(release: &Release) -> bool {
    let phase = release.status.as_ref().map(|s| s.phase).unwrap_or_default();
    phase == Phase::Succeeded || !phase.is_final()
}
