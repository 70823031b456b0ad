//! What `config validate` accepts and refuses: kubeadm is the judge, rkadm has to agree.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::differences::{self, List};
use crate::matrix::{Kubeadm, here};
use crate::sandbox::{Sandboxes, Task};
use crate::tree::Entry;

/// The directories, and whether kubeadm accepts what is in them.
const DIRS: [(&str, bool); 2] = [("configs-valid", true), ("configs-invalid", false)];
const COMMANDS: &str = "for file in /given/*.yaml; do
    if /program config validate --config $file >/dev/null 2>&1; then says=accepts; else says=refuses; fi
    echo $says $file
done";

/// Where the two disagree without a reason, and files that are in the wrong directory.
pub fn failures(sandboxes: &Sandboxes, list: &List, kubeadms: &[Kubeadm]) -> Result<Vec<String>> {
    let mut failures = vec![];
    for kubeadm in kubeadms {
        for (dir, valid) in DIRS {
            let mut files = Entry::files_of(&here().join(dir), "/given")?;
            for file in &mut files {
                file.content = kubeadm.fill_in(&String::from_utf8(file.content.clone())?).into();
            }
            let theirs = verdicts(sandboxes, &kubeadm.program, &files)?;
            let ours = verdicts(sandboxes, Path::new(crate::RKADM), &files)?;
            ensure!(theirs.len() == files.len() && ours.len() == files.len(), "not all were checked");
            let misplaced = theirs.iter().filter(|(_, verdict)| **verdict != json!({"accepts": valid}));
            failures.extend(misplaced.map(|(name, _)| {
                format!("{}/{name}: kubeadm is of another opinion than the name {dir}", kubeadm.minor)
            }));
            for (name, verdict) in &theirs {
                let found = differences::between(verdict, &ours[name]);
                let left = list.unexplained(&format!("{dir}/{name}"), kubeadm.minor, found);
                failures.extend(left.iter().map(|line| format!("{}/{dir}/{name}\n  {line}", kubeadm.minor)));
            }
        }
    }
    Ok(failures)
}

fn verdicts(sandboxes: &Sandboxes, program: &Path, files: &[Entry]) -> Result<BTreeMap<String, Value>> {
    let done = sandboxes.run(&Task { program, commands: COMMANDS, files, env: &[] })?;
    ensure!(done.code == 0, "config validate: {}", done.log);
    let verdict = |line: &str| {
        let (says, file) = line.split_once(" /given/")?;
        let accepts = match says {
            "accepts" => true,
            "refuses" => false,
            _ => return None,
        };
        Some((file.strip_suffix(".yaml")?.to_owned(), json!({"accepts": accepts})))
    };
    Ok(done.log.lines().filter_map(verdict).collect())
}
