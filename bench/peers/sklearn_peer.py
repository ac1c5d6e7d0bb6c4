"""scikit-learn's SGDClassifier, for information: it updates after every sample, not every batch."""

import sklearn
from sklearn.linear_model import SGDClassifier


def versions():
    return {"scikit-learn": sklearn.__version__}


def variants(job, threads):
    # SGDClassifier uses one thread for two classes.
    if job.logistic and threads == 1:
        return {"scikit-learn SGDClassifier": lambda data: Trainer(data)}
    return {}


class Trainer:
    note = "updates after every sample; for information"

    def __init__(self, data):
        self.data = data
        self.model = SGDClassifier(
            loss="log_loss", penalty=None, learning_rate="constant", eta0=0.1, shuffle=False
        )

    def train_chunk(self):
        self.model.partial_fit(self.data.x, self.data.y, classes=[0, 1])
        return len(self.data.y)

    def accuracy(self):
        return float(self.model.score(self.data.test_x, self.data.test_y))
