//! Arguments that reach a program as they are. Kubernetes puts a variable of the container, which may be a key, in the place of
//! each `$(NAME)` in `args`, and one dollar in the place of two ("Define dependent environment variables" in its documentation).

/// The argument as it must stand in a container so that its program gets this text.
pub(super) fn verbatim(argument: &str) -> String {
    let mut written = String::with_capacity(argument.len());
    let mut characters = argument.chars().peekable();
    while let Some(character) = characters.next() {
        written.push(character);
        // Before anything else a dollar is one, and templates have many: they stay readable.
        if character == '$' && matches!(characters.peek(), Some('$' | '(')) {
            written.push('$');
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Kubernetes makes of an argument (`Expand` in k8s.io/kubernetes/third_party/forked/golang/expansion), where every
    /// variable is there.
    fn expanded(argument: &str) -> String {
        let mut made = String::new();
        let mut rest = argument;
        while let Some((before, behind)) = rest.split_once('$') {
            made.push_str(before);
            rest = behind;
            if let Some(behind) = rest.strip_prefix('$') {
                made.push('$');
                rest = behind;
            } else if let Some((_, behind)) = rest.strip_prefix('(').and_then(|name| name.split_once(')')) {
                made.push_str("SECRET");
                rest = behind;
            } else {
                made.push('$');
            }
        }
        made + rest
    }

    #[test]
    fn only_what_kubernetes_would_change_is_written_otherwise() {
        for (argument, written) in [
            ("--partitioning=year=${_time:%Y}/", "--partitioning=year=${_time:%Y}/"),
            ("--filter=a = '$(PATH)'", "--filter=a = '$$(PATH)'"),
            ("--pattern=$$x$", "--pattern=$$$x$"),
            ("$$(A)", "$$$$(A)"),
            ("$(", "$$("),
        ] {
            assert_eq!(verbatim(argument), written);
        }
        assert_eq!(expanded("$(AWS_SECRET_ACCESS_KEY)$$"), "SECRET$");
    }

    proptest! {
        #[test]
        fn every_argument_reaches_its_program_as_it_is(argument in "[$()A-z]{0,12}|\\PC{0,12}") {
            prop_assert_eq!(expanded(&verbatim(&argument)), argument);
        }
    }
}
