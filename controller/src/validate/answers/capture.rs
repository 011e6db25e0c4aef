use crate::validate::Errors;
use flyball_core::policy::Capture;

pub(super) fn read(_path: &str, _written: &flyball_crds::Capture, _errors: &mut Errors) -> Option<Capture> {
    Some(Capture {})
}
