use flyball_core::{
    evaluate::{expand, parse},
    signal::Labels,
};
use proptest::prelude::*;

proptest! {
    /// Any text is a template or is not, and a template expands for any series.
    #[test]
    fn no_template_panics(text in ".{0,60}", inside in "[ $.|%a-zA-Z0-9\"`{}-]{0,40}", value in any::<f64>()) {
        for text in [text.clone(), format!("{{{{{inside}}}}}"), format!("{{{{ printf \"%{text}\" $value }}}}")] {
            if let Ok(template) = parse(&text) {
                expand(&template, &Labels::new(), value);
                template.labels_used();
            }
        }
        if !text.contains("{{") {
            prop_assert_eq!(expand(&parse(&text).unwrap(), &Labels::new(), value), text);
        }
    }

    /// What Go's shortest form says reads back as the same number.
    #[test]
    fn values_read_back(value in any::<f64>()) {
        let text = expand(&parse("{{ $value }}").unwrap(), &Labels::new(), value);
        let back: f64 = text.parse().unwrap();
        prop_assert!(back.to_bits() == value.to_bits() || value.is_nan() && back.is_nan(), "{} is not {}", text, value);
    }
}
