//! The agents of Java, Node and Python.
