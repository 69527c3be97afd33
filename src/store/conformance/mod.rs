//! What every engine of [`Store`](super::Store) has to pass. Each case gets a fresh, empty store.

pub(in crate::store) mod registry;

/// Makes one test of each case of each area; `$open` gives a fresh store and what keeps it alive.
macro_rules! store_conformance {
    ($open:expr) => {
        $crate::store::conformance::store_conformance!(
            $open, registry;
            a_store_is_the_home_of_the_first_name_that_claims_it,
            a_registration_is_found_by_handle_and_by_key,
            a_repeated_registration_gives_no_second_row,
            a_handle_a_key_and_a_look_alike_are_each_refused,
            a_refused_registration_leaves_nothing_behind,
            a_given_up_handle_is_gone_and_stays_reserved,
            an_invite_admits_as_many_as_it_says,
            a_refused_registration_does_not_use_up_its_invite,
            an_expired_or_revoked_invite_admits_nobody,
            one_handle_wanted_by_many_at_once_goes_to_one,
            evidence_is_paged_by_handle,
        );
    };
    ($open:expr, $area:ident; $($case:ident),+ $(,)?) => {
        mod $area {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (store, _keep) = $open;
                    $crate::store::conformance::$area::$case(std::sync::Arc::new(store)).await;
                }
            )+
        }
    };
}

pub(super) use store_conformance;
