use crate::validate::Errors;
use flyball_core::policy::Relieve;

pub(super) fn read(_path: &str, _written: &flyball_crds::Relieve, _errors: &mut Errors) -> Option<Relieve> {
    Some(Relieve {})
}
