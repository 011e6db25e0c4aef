use crate::validate::Errors;
use flyball_core::policy::Annotate;

pub(super) fn read(_path: &str, _written: &flyball_crds::Annotate, _errors: &mut Errors) -> Option<Annotate> {
    Some(Annotate {})
}
