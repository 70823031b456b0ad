//! What each rkadm command does: workflows as lists of phases.
