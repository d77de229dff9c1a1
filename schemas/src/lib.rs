//! What an event is, in every shape it takes on its way.
