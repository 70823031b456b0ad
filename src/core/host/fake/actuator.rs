//! What the machine in memory lets be done to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Archived, DATA_DIR, ETCD_DATA, FakeHost, Node, key, lock};
use crate::{
    archive::Removal,
    backup::trial::{Rebase, Trial},
    config::types::UnmountFlag,
    etcd::{EtcdAccess, EtcdError, Member},
    host::{Actuator, ApiAccess, HostError, Probe, ServiceVerb},
    kube::{KubeError, ObjectRef},
};

#[async_trait]
impl Actuator for FakeHost {
    fn probe(&self) -> &dyn Probe {
        self
    }

    /// Nothing here needs time.
    async fn pause(&self, _time: Duration) {
        tokio::task::yield_now().await;
    }

    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        self.change(format!("mkdir {}", path.display()), |world| {
            world.paths.insert(path.to_owned(), Node::Dir(mode));
        })
    }

    async fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.change(format!("write {}", path.display()), |world| {
            world.paths.insert(path.to_owned(), Node::File(content.to_owned(), mode));
        })
    }

    async fn discard_partial(&self, _path: &Path) -> Result<(), HostError> {
        Ok(())
    }

    async fn set_mode(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        self.change(format!("chmod {mode:o} {}", path.display()), |world| match world.paths.get_mut(path) {
            Some(Node::Dir(known) | Node::File(_, known)) => *known = mode,
            None => {}
        })
    }

    async fn remove_file(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("rm {}", path.display()), |world| {
            world.paths.remove(path);
        })
    }

    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("rmdir {}", path.display()), |world| {
            if !world.paths.keys().any(|known| known != path && known.starts_with(path)) {
                world.paths.remove(path);
            }
        })
    }

    async fn remove_tree(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("rm -r {}", path.display()), |world| {
            world.paths.retain(|known, _| !known.starts_with(path));
            world.put_aside.retain(|known, _| !known.starts_with(path));
        })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        self.change(format!("rename {} to {}", from.display(), to.display()), |world| {
            let (moved, stay) = std::mem::take(&mut world.paths)
                .into_iter()
                .partition::<BTreeMap<_, _>, _>(|(path, _)| path.starts_with(from));
            world.paths = stay;
            for (path, node) in moved {
                let rest = path.strip_prefix(from).unwrap_or(&path);
                let path = if rest == Path::new("") { to.to_owned() } else { to.join(rest) };
                world.paths.insert(path, node);
            }
            // What the API server serves is what is in the directory that etcd uses.
            if from == Path::new(DATA_DIR) {
                world.put_aside.insert(to.to_owned(), std::mem::take(&mut world.objects));
            } else if to == Path::new(DATA_DIR) {
                world.objects = world.put_aside.remove(from).unwrap_or_default();
            }
        })
    }

    async fn rebase_etcd(&self, rebase: &Rebase) -> Result<bool, HostError> {
        // Data that was served, as far as this machine knows, has this in it.
        if !lock(&self.world).paths.contains_key(&rebase.served.join("member/served")) {
            return Ok(false);
        }
        self.change(format!("rebase {}", rebase.old.display()), |world| {
            let mut made = vec![];
            for (path, node) in &world.paths {
                if let Ok(rest) = path.strip_prefix(&rebase.old) {
                    made.push((rebase.target.join(rest), node.clone()));
                }
            }
            world.paths.extend(made);
        })?;
        Ok(true)
    }

    async fn backup_etcd(&self, dir: &Path) -> Result<PathBuf, HostError> {
        // It is no part of the machine: it stays, whatever becomes of that.
        self.change(format!("back up etcd to {}", dir.display()), |_| {})?;
        Ok(dir.join("backup"))
    }

    async fn etcd_downgrade(&self, access: &EtcdAccess, minor: &str) -> Result<(), HostError> {
        drop(self.etcd(access)?);
        let mut numbers = minor.split('.').map_while(|number| number.parse().ok());
        let to = numbers.next().zip(numbers.next());
        self.change(format!("downgrade etcd to {minor}"), |world| world.etcd_downgrading = to)
    }

    async fn etcd_delete_beside(
        &self,
        access: &EtcdAccess,
        prefix: &str,
        _kept: &str,
    ) -> Result<(), HostError> {
        drop(self.etcd(access)?);
        self.change(format!("delete what begins with {prefix}"), |_| ())
    }

    async fn etcd_end_downgrade(&self, access: &EtcdAccess) -> Result<(), HostError> {
        drop(self.etcd(access)?);
        self.change("end the downgrade of etcd".into(), |world| world.etcd_downgrading = None)
    }

    async fn restore_etcd(&self, trial: &Trial) -> Result<(), HostError> {
        self.change(format!("restore {}", trial.target.display()), |world| {
            for dir in [trial.target.clone(), trial.target.join("member")] {
                world.paths.insert(dir, Node::Dir(0o700));
            }
            let revision = trial.new_revision().to_string().into();
            world.paths.insert(trial.target.join("member/revision"), Node::File(revision, 0o600));
        })
    }

    async fn unmount(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("umount {}", path.display()), |world| {
            world.mounts.remove(path);
        })
    }

    async fn unmount_with(&self, path: &Path, _flags: &[UnmountFlag]) -> Result<(), HostError> {
        self.unmount(path).await
    }

    async fn archive(
        &self,
        archive: &Path,
        what: &[Removal],
        leave_out: &[PathBuf],
    ) -> Result<(), HostError> {
        self.change(format!("archive {}", archive.display()), |world| {
            let mut held = world.paths.clone();
            held.retain(|path, _| {
                what.iter().any(|removal| removal.unit(path).is_some())
                    && !leave_out.iter().any(|left| path.starts_with(left))
            });
            world.archives.insert(archive.into(), Archived { paths: held, objects: world.objects.clone() });
        })
    }

    async fn remove_archive(&self, archive: &Path) -> Result<(), HostError> {
        self.change(format!("rm {}", archive.display()), |world| {
            world.archives.remove(archive);
        })
    }

    async fn remove_units(&self, what: &[Removal]) -> Result<(), HostError> {
        for unit in units(self.world().paths.keys(), what) {
            self.change(format!("rm -r {}", unit.display()), |world| {
                world.paths.retain(|path, _| !path.starts_with(&unit));
            })?;
        }
        Ok(())
    }

    async fn unpack(&self, archive: &Path, what: &[Removal]) -> Result<(), HostError> {
        let world = self.world();
        let Some(held) = world.archives.get(archive) else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(HostError::File { what: "bring back", path: archive.to_owned(), source });
        };
        for unit in units(held.paths.keys(), what) {
            if world.paths.contains_key(&unit) {
                continue;
            }
            self.change(format!("bring back {}", unit.display()), |world| {
                let nodes = held.paths.iter().filter(|(path, _)| path.starts_with(&unit));
                world.paths.extend(nodes.map(|(path, node)| (path.clone(), node.clone())));
                if unit == Path::new(ETCD_DATA) {
                    world.objects.clone_from(&held.objects);
                }
            })?;
        }
        Ok(())
    }

    async fn control_service(&self, unit: &str, verb: ServiceVerb) -> Result<(), HostError> {
        self.change(format!("{verb:?} {unit}"), |world| {
            if let Some(state) = world.services.get_mut(unit) {
                state.active = if verb == ServiceVerb::Stop { "inactive" } else { "active" }.into();
            }
        })
    }

    async fn run(&self, argv: &[String]) -> Result<(), HostError> {
        self.change(argv.join(" "), |_| {})
    }

    async fn feed(&self, argv: &[String], input: &str) -> Result<(), HostError> {
        self.change(format!("{} <<< {input}", argv.join(" ")), |_| {})
    }

    async fn apply(&self, _access: &ApiAccess, object: &Value) -> Result<(), HostError> {
        drop(self.api()?);
        self.change(format!("apply {}", key(object)), |world| {
            let mut object = object.clone();
            object["metadata"]["uid"] = key(&object).into();
            world.objects.insert(key(&object), object);
        })
    }

    async fn patch(&self, access: &ApiAccess, target: &ObjectRef, patch: &Value) -> Result<(), HostError> {
        drop(self.api_of(access)?);
        self.change(format!("patch {target}"), |world| {
            if let Some(object) = world.objects.get_mut(&target.to_string()) {
                merge(object, patch);
            }
        })
    }

    async fn patch_status(
        &self,
        _access: &ApiAccess,
        target: &ObjectRef,
        patch: &Value,
    ) -> Result<(), HostError> {
        let (there, refuses) = {
            let world = self.api()?;
            (world.objects.contains_key(&target.to_string()), world.refuses_status)
        };
        let action = format!("patch the status of {target}");
        if refuses {
            return Err(KubeError::Forbidden { action, message: "not you".into() }.into());
        }
        if !there {
            return Err(KubeError::NotFound { action, message: "it does not exist".into() }.into());
        }
        self.change(action, |world| {
            if let Some(object) = world.objects.get_mut(&target.to_string()) {
                merge_conditions(object, patch);
            }
        })
    }

    async fn delete(&self, _access: &ApiAccess, target: &ObjectRef) -> Result<(), HostError> {
        drop(self.api()?);
        self.change(format!("delete {target}"), |world| {
            world.objects.remove(&target.to_string());
        })
    }

    async fn evict(&self, _access: &ApiAccess, namespace: &str, name: &str) -> Result<(), HostError> {
        drop(self.api()?);
        self.change(format!("evict {namespace}/{name}"), |world| {
            world.objects.remove(&format!("Pod {namespace}/{name}"));
        })
    }

    async fn pull_image(&self, _socket: &str, image: &str) -> Result<(), HostError> {
        if !lock(&self.world).registry.contains(image) {
            return Err(HostError::Injected(format!("no registry has {image}")));
        }
        self.change(format!("pull {image}"), |world| {
            world.images.insert(image.to_owned());
        })
    }

    async fn remove_sandbox(&self, _socket: &str, id: &str) -> Result<(), HostError> {
        self.change(format!("remove sandbox {id}"), |world| {
            world.sandboxes.retain(|sandbox| sandbox.id != id);
        })
    }

    async fn stop_container(&self, _socket: &str, id: &str, _grace: Duration) -> Result<(), HostError> {
        // A kubelet starts it again at once.
        self.change(format!("stop container {id}"), |world| {
            world.ended.insert(id.to_owned());
        })
    }

    async fn etcd_add_learner(&self, access: &EtcdAccess, peer_url: &str) -> Result<Member, HostError> {
        let known = self.etcd(access)?.members.clone();
        if known.iter().any(|member| member.is_learner) {
            return Err(EtcdError::TooManyLearners.into());
        }
        if known.iter().any(|member| member.peer_urls.iter().any(|url| url == peer_url)) {
            return Err(EtcdError::PeerUrlExists.into());
        }
        let id = known.iter().map(|member| member.id).max().unwrap_or_default() + 1;
        let member =
            Member { id, peer_urls: vec![peer_url.to_owned()], is_learner: true, ..Member::default() };
        let added = member.clone();
        self.change(format!("add member {peer_url}"), |world| world.members.push(added))?;
        Ok(member)
    }

    async fn etcd_promote(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError> {
        let member = self.etcd(access)?.members.iter().find(|member| member.id == id).cloned();
        match member {
            None => return Err(EtcdError::NoSuchMember.into()),
            Some(member) if !member.is_learner => return Err(EtcdError::NotALearner.into()),
            Some(member) if !member.has_started() => return Err(EtcdError::NotInSync.into()),
            Some(_) => {}
        }
        if let Some((own, others)) = &mut self.etcd(access)?.catching_up {
            *own += 1;
            if own < others {
                return Err(EtcdError::NotInSync.into());
            }
        }
        self.change(format!("promote member {id}"), |world| {
            for member in world.members.iter_mut().filter(|member| member.id == id) {
                member.is_learner = false;
            }
        })
    }

    async fn etcd_remove(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError> {
        drop(self.etcd(access)?);
        self.change(format!("remove member {id}"), |world| world.members.retain(|member| member.id != id))
    }
}

/// The units of removals among these paths.
fn units<'a>(paths: impl Iterator<Item = &'a PathBuf>, what: &[Removal]) -> BTreeSet<PathBuf> {
    paths.filter_map(|path| what.iter().find_map(|removal| removal.unit(path))).collect()
}

/// What a strategic merge patch does to conditions: those of the same type are replaced or deleted, others stay.
fn merge_conditions(object: &mut Value, patch: &Value) {
    let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for change in patch["status"]["conditions"].as_array().into_iter().flatten() {
        conditions.retain(|known| known["type"] != change["type"]);
        if change["$patch"] != "delete" {
            conditions.push(change.clone());
        }
    }
    object["status"]["conditions"] = conditions.into();
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(name));
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}
