"""The resources: one module each, with what builds their calls and the two classes that users see."""
