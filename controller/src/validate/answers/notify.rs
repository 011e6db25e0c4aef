use crate::validate::Errors;
use flyball_core::policy::Notify;

pub(super) fn read(_path: &str, _written: &flyball_crds::Notify, _errors: &mut Errors) -> Option<Notify> {
    Some(Notify {})
}
