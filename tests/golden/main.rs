//! rkadm's files and objects against those that kubeadm 1.36 and 1.37 made from the same configuration, compared as
//! parsed objects. `refresh.py` records the fixtures. Migrations are compared with 1.34 and 1.35.

mod files;
mod fixture;
mod migrate;
mod objects;
mod patches;
