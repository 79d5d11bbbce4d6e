//! What the controllers ask of the API server, with errors as lines for people.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use serde::Serialize;
use tidegate_api::inventory::InventorySpec;
use tidegate_api::{Application, Inventory, Release, names};
use tidegate_cluster::events::{News, Regarding};
use tidegate_cluster::own::{Own, OwnKind};
use tidegate_core::inventory::{self, layout_of};

use crate::application::label_value;
use crate::state::Operator;
use crate::store::Key;
use crate::targets;

impl Operator {
    /// Patches a status to what it should be; sends nothing when it is that already. True when something was sent.
    pub(crate) async fn write_status<K: OwnKind, S: Serialize>(
        &self,
        own: &Own<K>,
        key: &Key,
        uid: &str,
        before: &S,
        after: &S,
    ) -> Result<bool, String> {
        own.patch_status(&key.namespace, &key.name, uid, before, after)
            .await
            .map_err(|e| e.to_string())
    }

    /// Tells an Event. A standby is silent.
    pub(crate) fn event(
        &self,
        regarding: Regarding,
        warning: bool,
        reason: &'static str,
        action: &'static str,
        note: &str,
    ) {
        if self.lease.may_write() {
            self.recorder.publish(News {
                regarding,
                warning,
                reason,
                action,
                note: note.to_owned(),
            });
        }
    }

    /// Data of a Secret that an object of ours names.
    pub(crate) async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let account = self.settings.default_service_account.as_deref();
        let account = account.filter(|_| self.settings.tenant_mode);
        let reader = account.map(|account| targets::user(namespace, account));
        let data = self.secret_as(reader.as_deref(), namespace, name).await;
        let data = data.map_err(|e| e.to_string())?;
        data.ok_or_else(|| "does not exist; create it or correct the name".to_owned())
    }

    /// Data of a Secret as a user sees it, as the operator itself for none; `None` when there is no such Secret.
    pub(crate) async fn secret_as(
        &self,
        user: Option<&str>,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, tidegate_cluster::Error> {
        let secrets: Own<Secret> = Own::new(self.home.clients_of(user)?, self.lease.clone());
        let secret = secrets.get(namespace, name).await?;
        let data = secret.map(|secret| secret.data.unwrap_or_default());
        Ok(data.map(|data| data.into_iter().map(|(key, value)| (key, value.0)).collect()))
    }

    /// Releases of an Application's name.
    pub(crate) async fn list_releases(&self, key: &Key) -> Result<Vec<Release>, String> {
        let labels = format!("{}={}", names::LABEL_APPLICATION, label_value(&key.name));
        let mut releases = self
            .releases
            .list(&key.namespace, &labels)
            .await
            .map_err(|e| e.to_string())?;
        releases.retain(|r| r.spec.application == key.name);
        Ok(releases)
    }

    pub(crate) async fn create_release(&self, release: &Release) -> Result<Release, String> {
        self.releases.create(release).await.map_err(|e| e.to_string())
    }

    pub(crate) async fn delete_release(&self, namespace: &str, name: &str, uid: &str) -> Result<(), String> {
        self.releases
            .delete(namespace, name, uid)
            .await
            .map_err(|e| e.to_string())
    }

    /// The shards of an Application's inventory, leftovers included.
    pub(crate) async fn read_inventory(&self, key: &Key) -> Result<Vec<Inventory>, String> {
        let labels = format!("{}={}", names::LABEL_APPLICATION, label_value(&key.name));
        let mut shards = self
            .inventories
            .list(&key.namespace, &labels)
            .await
            .map_err(|e| e.to_string())?;
        shards.retain(|shard| shard.spec.application == key.name);
        Ok(shards)
    }

    /// Brings the stored shards to the wanted ones. Shards of other layouts go last: until then they hold (core's
    /// `inventory::Layout`).
    pub(crate) async fn write_inventory(
        &self,
        key: &Key,
        wanted: Vec<InventorySpec>,
        mut stored: Vec<Inventory>,
    ) -> Result<Vec<Inventory>, String> {
        let mut written = Vec::with_capacity(wanted.len());
        for spec in wanted {
            let same =
                |old: &Inventory| layout_of(&old.spec) == layout_of(&spec) && old.spec.shard == spec.shard;
            let at = stored.iter().position(same);
            let shard = match at.map(|at| stored.swap_remove(at)) {
                Some(old) if old.spec == spec => old,
                Some(old) => self
                    .inventories
                    .replace(&Inventory { spec, ..old })
                    .await
                    .map_err(|e| e.to_string())?,
                None => self
                    .inventories
                    .create_shard(shard(key, spec))
                    .await
                    .map_err(|e| e.to_string())?,
            };
            written.push(shard);
        }
        for old in stored {
            self.delete_shard(&old).await?;
        }
        Ok(written)
    }

    pub(crate) async fn delete_shard(&self, shard: &Inventory) -> Result<(), String> {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let meta = &shard.metadata;
        self.inventories
            .delete_shard(&text(&meta.namespace), &text(&meta.name), &text(&meta.uid))
            .await
            .map_err(|e| e.to_string())
    }

    /// Puts our finalizer on an Application, or takes it away.
    pub(crate) async fn set_finalizer(
        &self,
        key: &Key,
        app: &Application,
        present: bool,
    ) -> Result<(), String> {
        let has = app
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|f| f == names::FINALIZER_APPLICATION);
        if has == present {
            return Ok(());
        }
        let uid = app.metadata.uid.as_deref().unwrap_or_default();
        self.own_applications
            .set_finalizer(
                &key.namespace,
                &key.name,
                uid,
                names::FINALIZER_APPLICATION,
                present,
            )
            .await
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}

fn shard(key: &Key, spec: InventorySpec) -> Inventory {
    let label = (names::LABEL_APPLICATION.to_owned(), label_value(&key.name));
    Inventory {
        metadata: ObjectMeta {
            name: Some(inventory::shard_name(&spec)),
            namespace: Some(key.namespace.clone()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        spec,
    }
}
